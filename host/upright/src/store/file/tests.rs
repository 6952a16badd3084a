use super::*;

mod in_memory {
    use super::*;

    crate::store::suite::holds_for!(async |clock| FileStore::in_memory(clock).unwrap());
}
