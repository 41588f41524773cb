//! Before another program goes on in our place, and after it has: what must have come to an end,
//! and what is counted on.

use super::Supervisor;
use crate::machine::State;

impl Supervisor {
    /// What is under way that a successor could not go on with: starts and stops, and the order
    /// among them. In words; none: it may take over. An operation that waits for a back-off to end
    /// is forgotten; the back-off is not.
    pub fn unsettled(&self) -> Option<String> {
        if self.shutdown.is_some() {
            return Some("shutting down".to_owned());
        }
        self.order.iter().find_map(|&slot| {
            let entry = self.entry(slot);
            let doing = match entry.machine.state() {
                State::Starting { .. } => "starting",
                State::Stopping { .. } => "stopping",
                state if state.stop_asked().is_some() => "stopping",
                // Its turn would come at once, since the order of one request is not carried over.
                State::Waiting { .. } if self.waits_for_lower_priority(slot) => "about to start",
                State::Stopped
                | State::Waiting { .. }
                | State::Running { .. }
                | State::Backoff { .. }
                | State::Exited
                | State::Failed { .. }
                | State::Unkillable { .. } => return None,
            };
            Some(format!("{doing} {}", entry.id))
        })
    }

    /// The number of the last operation.
    pub fn last_operation(&self) -> u64 {
        self.operations.last()
    }

    /// Goes on counting where an earlier program in this process was, so that no number means
    /// two things to a client.
    pub fn count_on(&mut self, generation: u64, last_operation: u64) {
        self.generation = self.generation.max(generation);
        self.operations.count_on(last_operation);
    }
}

#[cfg(test)]
mod tests {
    use crate::supervisor::tests::world::{Seconds, Sim};

    #[test]
    fn what_is_under_way_is_named_and_what_only_waits_is_not() {
        let mut sim = Sim::new("is:1 ps:2");
        sim.habit("is", |habit| habit.spawn = None).boot();
        assert_eq!(sim.supervisor.unsettled().as_deref(), Some("starting is"));
        sim.spawned("is").advance(1.secs());
        assert_eq!(sim.supervisor.unsettled(), None);
        sim.habit("ps", |habit| habit.stop = None).stop("ps");
        assert_eq!(sim.supervisor.unsettled().as_deref(), Some("stopping ps"));
        sim.kill("ps").advance(1.secs());
        assert_eq!(sim.supervisor.unsettled(), None);
        sim.exit("is", 1);
        assert_eq!(sim.supervisor.unsettled(), None, "a back-off is carried over");
        sim.shut_down(false);
        assert_eq!(sim.supervisor.unsettled().as_deref(), Some("shutting down"));
    }

    #[test]
    fn numbers_go_on() {
        let mut sim = Sim::new("is");
        sim.supervisor.count_on(7, 41);
        sim.start("is").advance(1.secs());
        assert_eq!((sim.operation().0, sim.supervisor.generation()), (42, 7));
    }
}
