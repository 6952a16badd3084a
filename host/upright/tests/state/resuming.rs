//! Operations resume from their last checkpoint.

use std::io;
use std::sync::{Arc, Mutex};
use upright::store::{MemoryStore, Store, StoreError};
use upright::testing::{AwayStore, DrivenClock};
use upright::{Attempt, RecoveryManager, Served};
use upright_test_kit::refused;

async fn resume(attempt: Attempt) -> Result<Option<u32>, StoreError> {
    attempt.resume().await
}

fn manager_with(store: Arc<dyn Store>) -> RecoveryManager {
    RecoveryManager::builder().clock(DrivenClock::skipping().shared()).store(store).keep_breakers(false).build().unwrap()
}

fn manager() -> RecoveryManager {
    manager_with(Arc::new(MemoryStore::default()))
}

#[tokio::test]
async fn each_attempt_is_handed_what_the_one_before_has_saved() {
    let manager = manager();
    let resumed = Arc::new(Mutex::new(Vec::new()));
    let import = |attempt: Attempt| {
        let (manager, resumed) = (manager.clone(), Arc::clone(&resumed));
        async move {
            let resume: Option<u32> = attempt.resume().await.unwrap();
            resumed.lock().unwrap().push(resume);
            let row = resume.unwrap_or(0) + 10;
            manager.save_checkpoint("import_job", &row).await.unwrap();
            if row < 30 { Err(refused()) } else { Ok(row) }
        }
    };
    let imported = manager.operation("import").checkpoint("import_job").run(import).await.unwrap();
    assert_eq!((imported.value, imported.attempts), (30, 3));
    assert_eq!(*resumed.lock().unwrap(), [None, Some(10), Some(20)]);
    let again = manager.operation("import").checkpoint("import_job").run(async |attempt| attempt.resume::<u32>().await);
    assert_eq!(again.await.unwrap().value, Some(30));
}

#[tokio::test]
async fn an_attempt_saves_to_its_own_checkpoint_under_the_schema_that_was_said() {
    let manager = manager();
    let operation = manager.operation("import").checkpoint("job").schema(4);
    let saved = operation.run(|attempt| async move {
        let resume: Option<u32> = attempt.resume().await?;
        attempt.checkpoint.unwrap().save(&7).await?;
        Ok::<_, StoreError>(resume)
    });
    assert_eq!(saved.await.unwrap().value, None);
    assert_eq!(manager.checkpoints().at("job").schema(4).restore::<u32>().await.unwrap(), Some(7));
}

#[tokio::test]
async fn a_checkpoint_is_removed_when_the_operation_succeeds_and_stays_when_something_else_serves() {
    let manager = manager();
    manager.save_checkpoint("job", &5).await.unwrap();
    let described = || manager.operation("import").attempts(1).checkpoint("job").remove_when_done();
    let fallback = || async { Ok::<u32, io::Error>(0) };
    let served = described().fallback(fallback).run(|_| async { Err(refused()) }).await.unwrap();
    assert_eq!(served.served, Served::Fallback);
    described().run(|_| async { Err::<u32, _>(refused()) }).await.unwrap_err();
    assert_eq!(manager.restore_checkpoint("job").await.unwrap(), Some(5));
    let live = described().run(resume).await.unwrap();
    assert_eq!((live.value, live.served), (Some(5), Served::Live));
    assert_eq!(manager.restore_checkpoint::<u32>("job").await.unwrap(), None);
}

#[tokio::test]
async fn state_of_another_schema_fails_the_operation_at_once_unless_it_may_start_over() {
    let manager = manager();
    manager.checkpoints().at("job").schema(1).save(&5).await.unwrap();
    let described = || manager.operation("import").attempts(5).checkpoint("job").schema(2);
    let failed = described().run(resume).await.unwrap_err();
    let failure = failed.failure().unwrap();
    assert!(matches!(failure.source.downcast_ref(), Some(StoreError::SchemaMismatch { expected: 2, found: 1, .. })), "{failed}");
    assert_eq!(failure.attempts, 1, "it will not pass by itself");
    assert_eq!(described().start_over_if_unreadable().run(resume).await.unwrap().value, None);
    manager.save_checkpoint("job", "a text").await.unwrap();
    let described = manager.operation("import").checkpoint("job").start_over_if_unreadable();
    assert_eq!(described.run(resume).await.unwrap().value, None);
}

#[tokio::test]
async fn a_store_that_is_away_is_waited_for_and_the_operation_does_not_begin_with_nothing() {
    let store = AwayStore::new(MemoryStore::default());
    let manager = manager_with(Arc::new(store.clone()));
    manager.save_checkpoint("job", &5).await.unwrap();
    store.go_away_for(2);
    let resumed = manager.operation("import").checkpoint("job").run(resume);
    let resumed = resumed.await.unwrap();
    assert_eq!((resumed.value, resumed.attempts), (Some(5), 3));
}

#[tokio::test]
async fn results_that_are_not_accepted_are_tried_again_from_what_was_saved() {
    let manager = manager();
    let operation = manager.operation("import").attempts(5).checkpoint("job");
    let count = |attempt: Attempt| async move {
        let count = attempt.resume::<u32>().await?.unwrap_or(0) + 1;
        attempt.checkpoint.unwrap().save(&count).await?;
        Ok::<_, StoreError>(count)
    };
    let counted = operation.accept(|count| *count >= 3).run(count).await.unwrap();
    assert_eq!((counted.value, counted.attempts), (3, 3));
}
