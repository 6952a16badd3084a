//! Makes one call for all who want the same answer. If it brings the others nothing, the longest waiting calls next. A
//! failing service sees one call at a time, until the breaker rejects the rest.

use super::CachedResponse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use upright_core::clock::{Instant, between};

#[derive(Default)]
pub(crate) struct Flights {
    flights: Mutex<Boarding>,
}

type Boarding = HashMap<Arc<str>, (Arc<Flight>, usize)>;

struct Flight {
    /// The holder of the one permit calls. Closed once there is an answer.
    turn: Arc<Semaphore>,
    answer: OnceLock<Landed>,
}

#[derive(Clone)]
pub(crate) struct Landed {
    response: CachedResponse,
    at: Instant,
}

impl Landed {
    pub(crate) fn new(response: CachedResponse, at: Instant) -> Self {
        Self { response, at }
    }

    pub(crate) fn younger(&self, max_age: Duration, now: Instant) -> Option<CachedResponse> {
        let age = self.response.age.saturating_add(between(self.at, now));
        (age <= max_age).then(|| CachedResponse { value: Arc::clone(&self.response.value), age })
    }
}

pub(crate) enum Turn<'a> {
    Landed(Landed),
    Lead(Lead<'a>),
    /// The flight ended without an answer.
    Alone,
}

pub(crate) struct Place<'a> {
    flights: &'a Flights,
    key: Arc<str>,
    flight: Arc<Flight>,
}

/// Dropping it hands the call to the next.
pub(crate) struct Lead<'a> {
    _permit: OwnedSemaphorePermit,
    place: Place<'a>,
}

impl Flights {
    fn flights(&self) -> MutexGuard<'_, Boarding> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn join(&self, key: &str) -> Place<'_> {
        let mut flights = self.flights();
        let key = flights.get_key_value(key).map_or_else(|| Arc::from(key), |(key, _)| Arc::clone(key));
        let (flight, places) = flights.entry(Arc::clone(&key)).or_insert_with(|| {
            let flight = Flight { turn: Arc::new(Semaphore::new(1)), answer: OnceLock::new() };
            (Arc::new(flight), 0)
        });
        *places += 1;
        let flight = Arc::clone(flight);
        Place { flights: self, key, flight }
    }

    fn current<'f>(boarding: &'f mut Boarding, place: &Place<'_>) -> Option<&'f mut usize> {
        boarding.get_mut(&place.key).filter(|(flight, _)| Arc::ptr_eq(flight, &place.flight)).map(|(_, places)| places)
    }
}

impl<'a> Place<'a> {
    pub(crate) async fn turn(self) -> Turn<'a> {
        match Arc::clone(&self.flight.turn).acquire_owned().await {
            Ok(permit) => Turn::Lead(Lead { _permit: permit, place: self }),
            // Closed only after the answer was set.
            Err(_) => self.flight.answer.get().map_or(Turn::Alone, |landed| Turn::Landed(landed.clone())),
        }
    }
}

impl Lead<'_> {
    pub(crate) fn land(self, landed: Landed) {
        let place = &self.place;
        let mut boarding = place.flights.flights();
        if Flights::current(&mut boarding, place).is_some() {
            boarding.remove(&place.key);
        }
        drop(boarding);
        // Only the leader sets it, once.
        let _ = place.flight.answer.set(landed);
        place.flight.turn.close();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut boarding = self.flights.flights();
        let Some(places) = Flights::current(&mut boarding, self) else { return };
        *places -= 1;
        if *places == 0 {
            boarding.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use serde_json::json;

    fn keys(flights: &Flights) -> usize {
        flights.flights().len()
    }

    fn landed(age: u64) -> Landed {
        Landed::new(CachedResponse { value: Arc::new(json!(7)), age: Duration::from_secs(age) }, 0)
    }

    fn lead(turn: Option<Turn<'_>>) -> Option<Lead<'_>> {
        match turn? {
            Turn::Lead(lead) => Some(lead),
            Turn::Landed(_) | Turn::Alone => panic!("it is to lead, or to wait"),
        }
    }

    #[test]
    fn the_first_leads_and_the_others_get_what_it_gets() {
        let flights = Flights::default();
        let first = lead(flights.join("a").turn().now_or_never()).unwrap();
        let (mut second, mut third) = (Box::pin(flights.join("a").turn()), Box::pin(flights.join("a").turn()));
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        let other = lead(flights.join("b").turn().now_or_never());
        assert!(other.is_some(), "another key has nothing to do with it");
        drop(other);
        first.land(landed(1));
        assert_eq!(keys(&flights), 0, "who comes now does not find it");
        assert!(matches!(second.now_or_never(), Some(Turn::Landed(_))) && matches!(third.now_or_never(), Some(Turn::Landed(_))));
    }

    #[test]
    fn those_who_wait_lead_in_the_order_in_which_they_came_when_the_one_before_gives_up() {
        let flights = Flights::default();
        let first = lead(flights.join("a").turn().now_or_never()).unwrap();
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(flights.join("a").turn())).collect();
        for turn in &mut waiting {
            assert!(lead(turn.now_or_never()).is_none());
        }
        drop(first);
        let mut leads = Vec::new();
        for turn in &mut waiting {
            leads.extend(lead(turn.now_or_never()));
        }
        assert_eq!(leads.len(), 1, "one at a time");
        drop(leads);
        drop(waiting.remove(1));
        assert!(lead((&mut waiting[1]).now_or_never()).is_some());
        drop(waiting);
        assert_eq!(keys(&flights), 0);
    }

    #[test]
    fn an_answer_is_for_those_who_take_one_of_its_age() {
        let second = Duration::from_secs(1);
        let landed = landed(5);
        let now = 3_000_000_000;
        assert_eq!(landed.younger(8 * second, now).unwrap().age, 8 * second);
        assert!(landed.younger(7 * second, now).is_none());
    }

    #[test]
    fn places_that_are_left_by_many_threads_at_once_leave_no_key() {
        let flights = Flights::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let flights = &flights;
                scope.spawn(move || {
                    for round in 0..2000 {
                        let mut turn = Box::pin(flights.join("a").turn());
                        if let Some(Turn::Lead(lead)) = (&mut turn).now_or_never()
                            && round % 2 == 0
                        {
                            lead.land(landed(0));
                        }
                    }
                });
            }
        });
        assert_eq!(keys(&flights), 0);
    }
}
