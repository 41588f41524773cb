//! What watchers are told: which components changed, what they use, what happened.
//!
//! While somebody watches, a component that looks different than before is published at once, and
//! then at most every [`PAUSE`]; its steps in between stand among the events. Components that wait
//! for others say so in words that change with the others: they follow at most every
//! [`SLOW_PAUSE`], since there may be a thousand of them. Figures are taken every second. While
//! nobody watches nothing of this happens; a minute after the last watcher left the stream
//! forgets, too.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    clock,
    driver::Driver,
    messages::Internal,
    samples::Sample,
    status::{self, Usages},
};
use crate::{
    model::{ComponentId, Moment, RunId},
    supervisor::ComponentView,
    updates::{Reader, Updates},
    wire::{self, Access, ComponentSample, Snapshot, Update},
};

/// Between two rounds of changed components.
const PAUSE: Duration = Duration::from_millis(50);

/// Between two looks at those who wait for others.
const SLOW_PAUSE: Duration = Duration::from_millis(250);

/// Between two samples.
const SAMPLE: Duration = Duration::from_secs(1);

/// A watcher that lost its connection may come back for what it missed.
const LINGER: Duration = Duration::from_mins(1);

pub(super) struct Publisher {
    pub updates: Updates,
    /// As it was told last. Kept only while somebody may read.
    shown: HashMap<ComponentId, ComponentView>,
    usages: Arc<Usages>,
    published: Moment,
    looked_at_blocked: Moment,
    /// When the next round is due, where one is.
    due: Option<Moment>,
    blocked_due: Option<Moment>,
    next_sample: Option<Moment>,
    sampling: bool,
    forget_at: Option<Moment>,
}

impl Publisher {
    pub fn new(updates: Updates) -> Self {
        Self {
            updates,
            shown: HashMap::new(),
            usages: Arc::default(),
            published: Moment::default(),
            looked_at_blocked: Moment::default(),
            due: None,
            blocked_due: None,
            next_sample: None,
            sampling: false,
            forget_at: None,
        }
    }

    /// Whether somebody's watching has samples taken.
    pub fn is_sampling(&self) -> bool {
        self.next_sample.is_some()
    }

    pub fn next_deadline(&self) -> Option<Moment> {
        let sample = self.next_sample.filter(|_| !self.sampling);
        [self.due, self.blocked_due, sample, self.forget_at].into_iter().flatten().min()
    }
}

impl Driver {
    /// A place in the stream for somebody who watches from now on.
    pub fn watch(&mut self, after: Option<u64>) -> Reader {
        let publisher = &mut self.publisher;
        if publisher.updates.is_asleep() {
            publisher.updates.wake();
            // What changed until now is in the snapshot that everybody begins with.
            let _in_the_snapshot = self.supervisor.take_changed();
            let views = self.supervisor.snapshot().into_iter();
            publisher.shown = views.map(|view| (view.id.clone(), view)).collect();
        }
        publisher.next_sample.get_or_insert_with(clock::now);
        publisher.forget_at = None;
        publisher.updates.read(after)
    }

    /// Everything for one watcher; `then` gets it on the blocking pool, with fresh figures.
    pub fn with_snapshot(&self, then: impl FnOnce(u64, Snapshot) + Send + 'static) {
        let seq = self.publisher.updates.last();
        let dependencies = self.supervisor.dependencies_by_id();
        let events = self.telling.log.recent();
        self.with_status(move |status| {
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            let access = Access::Full;
            then(seq, Snapshot { host, access, status, dependencies, events });
        });
    }

    /// Everything is different: watchers get it all anew.
    pub fn publish_anew(&mut self) {
        if !self.publisher.updates.is_asleep() {
            self.publisher.updates.renew();
            let _in_the_snapshot = self.supervisor.take_changed();
            let views = self.supervisor.snapshot().into_iter();
            self.publisher.shown = views.map(|view| (view.id.clone(), view)).collect();
        }
    }

    /// At the end of each turn: publishes what is due.
    pub fn publish(&mut self, now: Moment) {
        if self.publisher.updates.is_asleep() {
            if self.supervisor.has_changed() {
                let count = self.supervisor.take_changed().len();
                self.publisher.updates.skip(count as u64);
            }
            return;
        }
        self.publish_changed(now);
        self.publish_blocked(now);
        self.look_after_samples(now);
        if self.publisher.forget_at.is_some_and(|at| at <= now) {
            self.publisher.forget_at = None;
            self.publisher.updates.sleep();
            self.publisher.shown = HashMap::new();
        }
    }

    fn publish_changed(&mut self, now: Moment) {
        if !self.supervisor.has_changed() {
            self.publisher.due = None;
            return;
        }
        let due = self.publisher.published.after(PAUSE);
        if due > now {
            self.publisher.due = Some(due);
            return;
        }
        self.publisher.due = None;
        self.publisher.published = now;
        let mut any = false;
        for id in self.supervisor.take_changed() {
            any |= self.publish_component(&id, now);
        }
        if any && self.supervisor.blocked().next().is_some() {
            let due = self.publisher.looked_at_blocked.after(SLOW_PAUSE);
            self.publisher.blocked_due.get_or_insert(due);
        }
    }

    fn publish_blocked(&mut self, now: Moment) {
        if self.publisher.blocked_due.is_none_or(|at| at > now) {
            return;
        }
        self.publisher.blocked_due = None;
        self.publisher.looked_at_blocked = now;
        let blocked: Vec<ComponentId> = self.supervisor.blocked().cloned().collect();
        for id in blocked {
            self.publish_component(&id, now);
        }
    }

    /// Whether it looks different than before.
    fn publish_component(&mut self, id: &ComponentId, now: Moment) -> bool {
        let Some(view) = self.supervisor.component(id) else {
            // Whoever watches is told that everything is different.
            self.publisher.shown.remove(id);
            return true;
        };
        if self.publisher.shown.get(id) == Some(&view) {
            return false;
        }
        let component = Box::new(status::component(view.clone(), now, &self.publisher.usages));
        self.publisher.updates.publish(Update::Component { component });
        self.publisher.shown.insert(id.clone(), view);
        true
    }

    fn look_after_samples(&mut self, now: Moment) {
        if self.publisher.sampling || self.publisher.next_sample.is_none_or(|at| at > now) {
            return;
        }
        if self.publisher.updates.readers() == 0 {
            self.publisher.next_sample = None;
            self.publisher.forget_at = Some(now.after(LINGER));
            return;
        }
        self.publisher.sampling = true;
        self.publisher.next_sample = Some(now.after(SAMPLE));
        let names: Vec<(ComponentId, RunId)> =
            self.running.iter().map(|(&run, running)| (running.id.clone(), run)).collect();
        let (updates, internal) = (self.publisher.updates.clone(), self.internal.clone());
        let record = self.recording();
        self.with_sample(move |sample| {
            record(&sample);
            // Written as JSON here: a fleet has much of it.
            updates.publish(Update::Sample(sample_of(&names, &sample)));
            let _ended_meanwhile = internal.send(Internal::Sampled(sample));
        });
    }

    pub fn sampled(&mut self, sample: &Sample) {
        self.publisher.sampling = false;
        self.publisher.usages = Arc::clone(&sample.trees);
    }
}

fn sample_of(names: &[(ComponentId, RunId)], sample: &Sample) -> wire::Sample {
    let components = names.iter().filter_map(|(id, run)| {
        let usage = sample.trees.get(run)?;
        Some(ComponentSample {
            id: id.to_string(),
            run: run.0,
            cpu_percent: Some(usage.cpu_percent),
            memory_bytes: Some(usage.memory_bytes),
            processes: usage.processes,
        })
    });
    wire::Sample {
        at: clock::rfc3339(sample.at),
        cpu_percent: sample.own.cpu_percent,
        memory_bytes: sample.own.memory_bytes,
        components: components.collect(),
    }
}
