//! Queues store changes: the latest for each key, in the keys' order of arrival.

use super::super::cache::Kept;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

#[derive(Clone)]
pub(super) enum Change {
    Write(Kept, SystemTime),
    Remove,
}

impl Change {
    fn bytes(&self) -> u64 {
        match self {
            Self::Write(kept, _) => kept.bytes,
            Self::Remove => 0,
        }
    }

    fn response(&self) -> Option<Kept> {
        match self {
            Self::Write(kept, _) => Some(kept.clone()),
            Self::Remove => None,
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) entries: usize,
    pub(super) bytes: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pushed {
    pub(super) coalesced: bool,
    pub(super) dropped: u64,
}

#[derive(Default)]
pub(super) struct Queue {
    waiting: HashMap<Arc<str>, (u64, Change)>,
    turns: BTreeMap<u64, Arc<str>>,
    next_turn: u64,
    bytes: u64,
    in_hand: Option<(Arc<str>, Change)>,
    pub(super) working: bool,
    pub(super) cleaning: bool,
    pub(super) clears: u64,
    pub(super) clear_wanted: bool,
}

impl Queue {
    /// A queued key keeps its turn. A full queue drops those whose turn is next.
    pub(super) fn push(&mut self, key: &str, change: Change, room: Room) -> Pushed {
        let mut pushed = Pushed::default();
        let too_large = change.bytes() > room.bytes;
        // A response too large for the queue still makes the stored one obsolete.
        let change = if too_large { Change::Remove } else { change };
        pushed.dropped = u64::from(too_large);
        let bytes = change.bytes();
        let (key, turn) = match self.waiting.remove_entry(key) {
            Some((key, (turn, replaced))) => {
                self.bytes -= replaced.bytes();
                pushed.coalesced = true;
                (key, turn)
            }
            None => (Arc::from(key), self.next_turn),
        };
        self.next_turn += u64::from(!pushed.coalesced);
        self.turns.insert(turn, Arc::clone(&key));
        self.waiting.insert(key, (turn, change));
        self.bytes += bytes;
        while self.waiting.len() > room.entries || self.bytes > room.bytes {
            if self.pop().is_none() {
                break;
            }
            pushed.dropped += 1;
        }
        pushed
    }

    fn pop(&mut self) -> Option<(Arc<str>, Change)> {
        let (_, key) = self.turns.pop_first()?;
        let (_, change) = self.waiting.remove(&key)?;
        self.bytes -= change.bytes();
        Some((key, change))
    }

    pub(super) fn take(&mut self) -> Option<(Arc<str>, Change)> {
        self.in_hand = self.pop();
        self.in_hand.clone()
    }

    pub(super) fn put_down(&mut self) {
        self.in_hand = None;
    }

    /// `Some(None)` for a queued removal; `None` if the store is up to date.
    pub(super) fn find(&self, key: &str) -> Option<Option<Kept>> {
        let waiting = self.waiting.get(key).map(|(_, change)| change);
        let in_hand = || self.in_hand.as_ref().filter(|(in_hand, _)| &**in_hand == key).map(|(_, change)| change);
        waiting.or_else(in_hand).map(Change::response)
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.turns.clear();
        self.bytes = 0;
        self.in_hand = None;
        self.clears += 1;
        self.clear_wanted = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::{Duration, UNIX_EPOCH};

    const ROOM: Room = Room { entries: 3, bytes: 100 };

    fn write(number: u64, bytes: u64) -> Change {
        Change::Write(Kept { value: Arc::new(json!(number)), cached: 0, older: Duration::ZERO, bytes }, UNIX_EPOCH)
    }

    fn number(kept: Option<Kept>) -> Option<u64> {
        kept.and_then(|kept| kept.value.as_u64())
    }

    fn taken(queue: &mut Queue) -> Vec<(String, Option<u64>)> {
        std::iter::from_fn(|| queue.take().map(|(key, change)| (key.to_string(), number(change.response())))).collect()
    }

    #[test]
    fn a_later_response_replaces_a_queued_one_and_keeps_its_turn() {
        let mut queue = Queue::default();
        assert_eq!(queue.push("a", write(1, 10), ROOM), Pushed { coalesced: false, dropped: 0 });
        queue.push("b", write(2, 10), ROOM);
        assert_eq!(queue.push("a", write(3, 10), ROOM), Pushed { coalesced: true, dropped: 0 });
        assert_eq!(taken(&mut queue), [("a".into(), Some(3)), ("b".into(), Some(2))]);
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn a_full_write_queue_drops_its_oldest_changes() {
        let mut queue = Queue::default();
        for number in 0..3 {
            queue.push(&number.to_string(), write(number, 30), ROOM);
        }
        assert_eq!(queue.push("3", write(3, 10), ROOM).dropped, 1, "too many");
        assert_eq!(queue.push("3", write(4, 95), ROOM), Pushed { coalesced: true, dropped: 2 }, "too large together");
        assert_eq!(taken(&mut queue), [("3".into(), Some(4))]);
    }

    #[test]
    fn a_response_too_large_for_the_write_queue_becomes_a_removal() {
        let mut queue = Queue::default();
        queue.push("a", write(1, 10), ROOM);
        queue.push("b", write(2, 10), ROOM);
        assert_eq!(queue.push("a", write(3, 101), ROOM), Pushed { coalesced: true, dropped: 1 });
        assert_eq!(taken(&mut queue), [("a".into(), None), ("b".into(), Some(2))]);
    }

    #[test]
    fn the_write_queue_finds_the_latest_of_queued_and_in_hand_changes() {
        let mut queue = Queue::default();
        queue.push("a", write(1, 10), ROOM);
        queue.take().unwrap();
        assert_eq!(queue.find("a").map(number), Some(Some(1)));
        queue.push("a", Change::Remove, ROOM);
        assert_eq!(queue.find("a").map(number), Some(None));
        queue.clear();
        assert!(queue.find("a").is_none() && queue.waiting.is_empty());
        queue.push("a", write(2, 10), ROOM);
        queue.take().unwrap();
        queue.put_down();
        assert!(queue.find("a").is_none());
    }
}
