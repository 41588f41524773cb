//! One `<notify>`: which events become notices, and when a component has recovered.
//!
//! ```text
//!               failed, unkillable, unhealthy, a limit, restarts above the rate
//!     well ─────────────────────────────────────────────────────────► in trouble ◄─┐
//!      ▲                                                                 │ runs    │ any of
//!      │                                                                 │ (healthy)│ these, or
//!      └──── SETTLED later ("recovered") ◄──── settling ◄────────────────┘         │ an end
//!                                                  └───────────────────────────────┘
//! ```

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use super::{Notice, NoticeKind, Standing};
use crate::{
    model::{Moment, in_words},
    registry::Notify,
    wire::{ComponentState, EventKind, EventRecord, Health},
};

/// It has to be well for this long before that is told: a component that comes up and falls again
/// has not recovered.
const SETTLED: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Watch {
    wanted: Wanted,
    /// More restarts than this within `within` are told.
    restarts: u32,
    within: Duration,
    components: HashMap<String, Watched>,
}

/// The words of `event`.
#[derive(Debug, Default, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "a set of four words")]
struct Wanted {
    failed: bool,
    unhealthy: bool,
    recovered: bool,
    restarts: bool,
}

/// What is known of one component. Of those that are well only where restarts are counted.
#[derive(Debug, Default)]
struct Watched {
    /// Restarts as `status` counted them last; none: not known yet.
    counted: Option<u32>,
    /// Those within the window.
    restarted: VecDeque<Moment>,
    /// The rate was told; not again before it has been quiet for a whole window.
    rate_told: bool,
    trouble: Option<Trouble>,
}

#[derive(Debug)]
struct Trouble {
    since: Moment,
    /// How long it has to be well.
    settles_in: Duration,
    well: Option<Well>,
}

/// The event that it has been well since.
#[derive(Debug)]
struct Well {
    since: Moment,
    event: EventRecord,
    state: Option<ComponentState>,
}

impl Watch {
    pub fn configure(&mut self, notify: &Notify) {
        let wanted = |word: &str| notify.events.iter().any(|event| event == word);
        self.wanted = Wanted {
            failed: wanted("failed"),
            unhealthy: wanted("unhealthy"),
            recovered: wanted("recovered"),
            restarts: wanted("restarts"),
        };
        self.restarts = notify.restarts;
        self.within = notify.within;
    }

    /// Forgets whom nobody has any more.
    pub fn retain(&mut self, known: impl Fn(&str) -> bool) {
        self.components.retain(|id, _| known(id));
    }

    /// The notices of an event: of what it says, and of the rate that it passes.
    pub fn event(
        &mut self,
        now: Moment,
        event: &EventRecord,
        standing: Option<Standing>,
    ) -> (Option<Notice>, Option<Notice>) {
        let Some(id) = event.component.as_deref() else { return (None, None) };
        if event.kind == EventKind::Adopted {
            let told = self.wanted.failed && !standing.is_some_and(|standing| standing.held);
            return (told.then(|| of_the_supervisor(event)), None);
        }
        let rate = if self.wanted.restarts { self.count(now, id, event, standing) } else { None };
        let notice = match event.kind {
            EventKind::Failed | EventKind::Unkillable => {
                let watched = self.components.entry(id.to_owned()).or_default();
                // A start by hand begins anew, and so does the count.
                watched.restarted.clear();
                watched.rate_told = false;
                watched.fall(now, SETTLED);
                self.wanted.failed.then_some(NoticeKind::Failed)
            }
            EventKind::Unhealthy | EventKind::Limit => {
                let watched = self.components.entry(id.to_owned()).or_default();
                watched.fall(now, SETTLED);
                self.wanted.unhealthy.then_some(NoticeKind::Unhealthy)
            }
            _ => {
                self.look_at_trouble(now, id, event, standing);
                None
            }
        };
        (notice.map(|kind| of(event, kind, standing, event.text.clone())), rate)
    }

    /// Counts restarts; the notice where they pass the rate.
    fn count(
        &mut self,
        now: Moment,
        id: &str,
        event: &EventRecord,
        standing: Option<Standing>,
    ) -> Option<Notice> {
        let standing = standing?;
        if standing.restarts == 0 && !self.components.contains_key(id) {
            // So that its first one is seen as such, whatever it comes with.
            let watched = Watched { counted: Some(0), ..Watched::default() };
            self.components.insert(id.to_owned(), watched);
            return None;
        }
        let watched = self.components.entry(id.to_owned()).or_default();
        let before = watched.counted.replace(standing.restarts).unwrap_or(standing.restarts);
        let more = standing.restarts.saturating_sub(before);
        if more == 0 {
            return None;
        }
        let oldest = now.since(Moment::default()).saturating_sub(self.within);
        watched.restarted.retain(|at| at.since_boot() > oldest);
        if watched.restarted.is_empty() {
            watched.rate_told = false;
        }
        let room = (self.restarts as usize).saturating_add(1);
        for _ in 0..more.min(self.restarts.saturating_add(1)) {
            watched.restarted.push_back(now);
        }
        while watched.restarted.len() > room {
            watched.restarted.pop_front();
        }
        if watched.rate_told || watched.restarted.len() < room {
            return None;
        }
        watched.rate_told = true;
        let within = self.within;
        watched.fall(now, within);
        let count = watched.restarted.len();
        let text =
            format!("{count} restarts within {}; the last: {}", in_words(within), event.text);
        Some(of(event, NoticeKind::Restarts, Some(standing), text))
    }

    /// Whether one that was in trouble is well now, or not any more.
    fn look_at_trouble(
        &mut self,
        now: Moment,
        id: &str,
        event: &EventRecord,
        standing: Option<Standing>,
    ) {
        let Some(watched) = self.components.get_mut(id) else { return };
        let Some(trouble) = &mut watched.trouble else { return };
        let health = standing.map_or(Health::None, |standing| standing.health);
        let state = standing.map(|standing| standing.state);
        let well = match event.kind {
            EventKind::Healthy => true,
            EventKind::Running => matches!(health, Health::None | Health::Ok),
            // It did what it is for.
            EventKind::Exited => state == Some(ComponentState::Exited),
            EventKind::Waiting
            | EventKind::Starting
            | EventKind::Stopping
            | EventKind::Stopped
            | EventKind::Crashed
            | EventKind::Backoff => false,
            // Says nothing of how it is.
            _ => return,
        };
        if !well {
            trouble.well = None;
        } else if trouble.well.is_none() {
            trouble.well = Some(Well { since: now, event: event.clone(), state });
        }
    }

    pub fn next_deadline(&self) -> Option<Moment> {
        let troubles = self.components.values().filter_map(|watched| watched.trouble.as_ref());
        troubles.filter_map(Trouble::settled_at).min()
    }

    /// Those who have recovered by now.
    pub fn due(&mut self, now: Moment) -> Vec<Notice> {
        let mut recovered = Vec::new();
        for watched in self.components.values_mut() {
            let settled = watched.trouble.as_ref().and_then(Trouble::settled_at);
            if settled.is_none_or(|at| at > now) {
                continue;
            }
            watched.rate_told = false;
            let Some(Trouble { since, well: Some(well), .. }) = watched.trouble.take() else {
                continue;
            };
            if self.wanted.recovered {
                let lasted = in_words(well.since.since(since));
                let text = format!("well again after {lasted}: {}", well.event.text);
                let mut notice = of(&well.event, NoticeKind::Recovered, None, text);
                notice.state = well.state;
                recovered.push(notice);
            }
        }
        recovered.sort_by_key(|notice| notice.seq);
        if !self.wanted.restarts {
            self.components.retain(|_, watched| watched.trouble.is_some());
        }
        recovered
    }
}

impl Watched {
    fn fall(&mut self, now: Moment, settles_in: Duration) {
        match &mut self.trouble {
            Some(trouble) => {
                trouble.well = None;
                trouble.settles_in =
                    if self.rate_told { trouble.settles_in.max(settles_in) } else { settles_in };
            }
            None => self.trouble = Some(Trouble { since: now, settles_in, well: None }),
        }
    }
}

impl Trouble {
    fn settled_at(&self) -> Option<Moment> {
        self.well.as_ref().map(|well| well.since.after(self.settles_in))
    }
}

fn of(event: &EventRecord, kind: NoticeKind, standing: Option<Standing>, text: String) -> Notice {
    Notice {
        component: event.component.clone(),
        kind,
        text,
        at: event.at.clone(),
        seq: event.seq,
        state: standing.map(|standing| standing.state),
        count: 1,
        first_at: event.at.clone(),
    }
}

/// Whoever is adopted had an earlier Supervisor, which did not end as it should.
fn of_the_supervisor(event: &EventRecord) -> Notice {
    let text = "it had ended without stopping its components, was started again, and took over \
                what had gone on running";
    let notice = of(event, NoticeKind::Supervisor, None, text.to_owned());
    Notice { component: None, ..notice }
}
