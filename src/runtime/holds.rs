//! Holds outlive the Supervisor and the machine's boot: `holds.json` in the runtime folder.
//!
//! The journal would not do: it matters within one boot, and is written without fsync. Holds
//! change by hand, so the whole file is written anew each time, beside itself, brought to the disk
//! and renamed over the old one, on the blocking pool. An operator is answered when that is done.
//! Expiry is decided by the monotonic clock, which is compared with the other one each minute: that one may be
//! set, or go on while the machine sleeps, and what was promised is its time. The file holds wall times,
//! because they mean the same after a boot.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{clock, driver::Driver, messages::problem, status, telling::About};
use crate::{
    model::{ComponentId, Moment, Origin},
    supervisor::{Denial, Effect, Hold, HoldChange, Until},
    wire::{self, EventKind, HoldReport, Problem},
};

/// The format; a newer one is refused.
const VERSION: u32 = 1;

/// An end that differs by more has moved: the clock was set, or the machine slept. (Times are kept in
/// seconds.)
const HAS_MOVED: Duration = Duration::from_secs(2);

type Reply = oneshot::Sender<Result<HoldReport, Problem>>;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Content {
    version: u32,
    holds: Vec<Kept>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    id: ComponentId,
    #[serde(flatten)]
    hold: wire::Hold,
}

/// The file, and which state of it was written last.
#[derive(Debug)]
pub(super) struct HoldFile {
    path: PathBuf,
    /// The holds in force differ from what was written of them.
    pub is_behind: bool,
    /// Counts the states that were to be written.
    wanted: u64,
    written: Arc<Mutex<u64>>,
}

impl HoldFile {
    /// The file's name in the runtime folder.
    pub const NAME: &str = "holds.json";

    /// The file, and the holds that an earlier Supervisor left in it.
    pub fn open(folder: &Path) -> io::Result<(Self, Vec<(ComponentId, wire::Hold)>)> {
        let path = folder.join(Self::NAME);
        let content = match fs::read(&path) {
            Ok(bytes) => read(&bytes).map_err(|why| {
                let text = format!(
                    "{} {why}; holds would be lost: mend it, or remove it to go on without",
                    path.display()
                );
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Content::default(),
            Err(error) => return Err(error),
        };
        let holds = content.holds.into_iter().map(|kept| (kept.id, kept.hold)).collect();
        Ok((Self { path, is_behind: false, wanted: 0, written: Arc::default() }, holds))
    }

    /// The work of writing this state; it blocks. Of two states the later one stays, in whichever
    /// order they come to be written.
    fn write(
        &mut self,
        holds: Vec<(ComponentId, wire::Hold)>,
    ) -> impl FnOnce() -> io::Result<()> + Send + 'static {
        self.wanted += 1;
        let (number, path, written) = (self.wanted, self.path.clone(), Arc::clone(&self.written));
        move || {
            let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
            if *written > number {
                return Ok(());
            }
            let holds = holds.into_iter().map(|(id, hold)| Kept { id, hold }).collect();
            replace(&path, &serde_json::to_vec(&Content { version: VERSION, holds })?)?;
            *written = number;
            Ok(())
        }
    }
}

/// The holds in the text of such a file.
pub(super) fn kept(bytes: &[u8]) -> Result<Vec<(ComponentId, wire::Hold)>, String> {
    Ok(read(bytes)?.holds.into_iter().map(|kept| (kept.id, kept.hold)).collect())
}

pub(super) fn read(bytes: &[u8]) -> Result<Content, String> {
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let unreadable = |error: serde_json::Error| format!("is not readable ({error})");
    let Head { version } = serde_json::from_slice(bytes).map_err(unreadable)?;
    if version > VERSION {
        return Err(format!("is of version {version}, and this Supervisor reads up to {VERSION}"));
    }
    serde_json::from_slice(bytes).map_err(unreadable)
}

/// Nobody sees half of it, whatever ends us.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("json.new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    // The name, too, has to outlive a loss of power.
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

impl Driver {
    /// Before anything is started or taken over.
    pub fn restore_holds(&mut self, holds: Vec<(ComponentId, wire::Hold)>) {
        for (id, hold) in holds {
            let until = match hold.until.as_deref().map(str::parse::<Timestamp>) {
                None => None,
                Some(Ok(time)) if time <= Timestamp::now() => {
                    tracing::info!(%id, until = hold.until, "the hold expired while no Supervisor ran");
                    self.hold_file.is_behind = true;
                    continue;
                }
                Some(Ok(time)) => Some(until(time)),
                Some(Err(error)) => {
                    // Rather held for too long than started against an operator's word.
                    tracing::error!(%id, until = hold.until, %error, "no time; held until released");
                    None
                }
            };
            let wire::Hold { by, reason, since, .. } = hold;
            let hold = Hold { by, reason, since, until };
            tracing::info!(%id, %hold, "the hold of an earlier Supervisor stays in force");
            if !self.supervisor.restore_hold(&id, hold) {
                tracing::warn!(%id, "it has left the registry: its hold is forgotten");
                self.hold_file.is_behind = true;
            }
        }
    }

    pub fn hold(
        &mut self,
        id: &str,
        until_time: Option<Timestamp>,
        reason: Option<String>,
        origin: &Origin,
        reply: Reply,
    ) {
        let hold = Hold {
            by: origin.to_string(),
            reason,
            since: shown(Timestamp::now()),
            until: until_time.map(until),
        };
        self.change_hold(id, reply, |driver, now, effects| {
            driver.supervisor.hold(now, id, hold, effects)
        });
    }

    pub fn release(&mut self, id: &str, origin: &Origin, reply: Reply) {
        self.change_hold(id, reply, |driver, now, effects| {
            driver.supervisor.release(now, id, origin, effects)
        });
    }

    fn change_hold(
        &mut self,
        id: &str,
        reply: Reply,
        change: impl FnOnce(&mut Self, Moment, &mut Vec<Effect>) -> Result<Option<Hold>, Denial>,
    ) {
        let mut effects = Vec::new();
        let changed = change(self, clock::now(), &mut effects);
        self.settle(effects);
        let before = match changed {
            Ok(before) => before,
            Err(denial) => return drop(reply.send(Err(problem(&denial)))),
        };
        let Some(view) = self.supervisor.component(id) else { return };
        let report = HoldReport {
            id: id.to_owned(),
            hold: view.hold.map(status::hold),
            before: before.map(status::hold),
            state: view.state,
            warning: None,
        };
        self.store_holds(move |stored| {
            let warning = stored.err().map(|error| {
                format!("it is in force, but could not be stored, and ends with this Supervisor: {error}")
            });
            let _caller_left = reply.send(Ok(HoldReport { warning, ..report }));
        });
    }

    pub fn hold_changed(&mut self, id: &ComponentId, change: &HoldChange) {
        self.hold_file.is_behind = true;
        let about = Some(About { id, run: None });
        match change {
            HoldChange::Held(hold) => {
                tracing::info!(%id, %hold, "a hold is in force");
                self.tell(
                    about,
                    EventKind::Held,
                    format!("held{}", hold.terms()),
                    Some(hold.by.clone()),
                );
            }
            HoldChange::Released { by } => {
                tracing::info!(%id, by, "the hold is released");
                self.tell(about, EventKind::Released, "released", Some(by.clone()));
            }
            HoldChange::Expired => {
                tracing::info!(%id, "the hold has expired");
                self.tell(about, EventKind::Released, "the hold has expired", None);
            }
        }
    }

    /// Has each hold end when the clock on the wall says so.
    pub fn follow_clock(&mut self) {
        let (now, wall) = (clock::now(), Timestamp::now());
        let moved = self.supervisor.holds().filter_map(|(id, hold)| {
            let until = moved(hold.until.as_ref()?, now, wall)?;
            Some((id.to_string(), Hold { until: Some(until), ..hold.clone() }))
        });
        for (id, hold) in moved.collect::<Vec<_>>() {
            tracing::info!(%id, %hold, "the clock was set, or the machine slept; the hold ends by the clock");
            self.supervisor.restore_hold(&id, hold);
        }
    }

    /// Writes what is in force, if it differs from what was written; then tells how that went.
    pub fn store_holds(&mut self, then: impl FnOnce(Result<(), &io::Error>) + Send + 'static) {
        if !std::mem::take(&mut self.hold_file.is_behind) {
            return then(Ok(()));
        }
        let holds = self.supervisor.holds();
        let holds = holds.map(|(id, hold)| (id.clone(), status::hold(hold.clone()))).collect();
        let write = self.hold_file.write(holds);
        tokio::task::spawn_blocking(move || {
            let result = write();
            if let Err(error) = &result {
                tracing::error!(%error, "cannot store the holds; they end with this Supervisor");
            }
            then(result.as_ref().copied());
        });
    }
}

fn until(time: Timestamp) -> Until {
    let left = time.duration_since(Timestamp::now()).max(SignedDuration::ZERO);
    Until { at: clock::now().after(left.unsigned_abs()), time: shown(time) }
}

/// The same end where it is at another moment than was thought.
fn moved(until: &Until, now: Moment, wall: Timestamp) -> Option<Until> {
    let time: Timestamp = until.time.parse().ok()?;
    let left = time.duration_since(wall).max(SignedDuration::ZERO);
    let at = now.after(left.unsigned_abs());
    // What is over ends now, whenever exactly that was.
    let known = until.at.max(now);
    let differs = at.since(known).max(known.since(at));
    (differs > HAS_MOVED).then(|| Until { at, time: until.time.clone() })
}

fn shown(time: Timestamp) -> String {
    format!("{time:.0}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_ends_by_the_clock_on_the_wall_however_that_is_set() {
        let hour = Duration::from_hours(1);
        let (now, wall) = (Moment::from_boot(10 * hour), "2026-11-22T12:00:00Z");
        let wall: Timestamp = wall.parse().expect("a time");
        let until = Until { at: now.after(2 * hour), time: "2026-11-22T14:00:00Z".to_owned() };
        let ends = |now: Moment, wall| moved(&until, now, wall).map(|until| until.at);
        // Both clocks go on.
        assert_eq!(ends(now, wall), None);
        assert_eq!(ends(now.after(hour), wall + hour), None);
        assert_eq!(ends(now.after(3 * hour), wall + 3 * hour), None, "it is over, and known to be");
        // Set forwards, or the machine slept; set back.
        assert_eq!(ends(now, wall + hour), Some(now.after(hour)));
        assert_eq!(ends(now, wall + 5 * hour), Some(now), "at once");
        assert_eq!(ends(now, wall - 3 * hour), Some(now.after(5 * hour)));
        // Kept right.
        assert_eq!(ends(now, wall + Duration::from_millis(900)), None);
    }

    fn hold(by: &str) -> wire::Hold {
        wire::Hold {
            by: by.to_owned(),
            reason: Some("disk swap".to_owned()),
            since: "2026-11-27T10:00:00Z".to_owned(),
            until: None,
        }
    }

    fn ps() -> ComponentId {
        ComponentId::new("ps").expect("a good id")
    }

    #[test]
    fn what_was_written_is_read_by_the_next_supervisor() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut file, none) = HoldFile::open(folder.path()).expect("new");
        assert!(none.is_empty());
        file.write(vec![(ps(), hold("root"))])().expect("written");
        let (_, holds) = HoldFile::open(folder.path()).expect("again");
        assert_eq!(holds, [(ps(), hold("root"))]);
    }

    #[test]
    fn the_later_state_stays_in_whichever_order_they_are_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut file, _) = HoldFile::open(folder.path()).expect("new");
        let earlier = file.write(vec![(ps(), hold("earlier"))]);
        let later = file.write(vec![(ps(), hold("later"))]);
        later().expect("written");
        earlier().expect("passed over");
        let (_, holds) = HoldFile::open(folder.path()).expect("again");
        assert_eq!(holds, [(ps(), hold("later"))]);
    }

    #[test]
    fn a_write_that_fails_or_breaks_off_leaves_the_last_good_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut file, _) = HoldFile::open(folder.path()).expect("new");
        file.write(vec![(ps(), hold("first"))])().expect("written");
        let path = folder.path().join(HoldFile::NAME);
        let mut open = File::open(&path).expect("there");

        // Whoever had it open sees the old state as a whole: it was not written over.
        file.write(vec![(ps(), hold("second"))])().expect("written");
        let old: Content = serde_json::from_reader(&mut open).expect("whole");
        assert_eq!(old.holds[0].hold, hold("first"));

        // Half of a third state, as a kill leaves it; then a disk that takes nothing.
        let beside = path.with_extension("json.new");
        fs::write(&beside, r#"{"version":1,"ho"#).expect("written");
        let read = || HoldFile::open(folder.path()).expect("readable").1;
        assert_eq!(read(), [(ps(), hold("second"))]);
        fs::remove_file(&beside).and_then(|()| fs::create_dir(&beside)).expect("in the way");
        file.write(vec![(ps(), hold("third"))])().expect_err("no place for it");
        assert_eq!(read(), [(ps(), hold("second"))]);
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_not_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(HoldFile::NAME);
        for text in ["", "{", r#"{"version":2,"holds":[]}"#, r#"{"version":1,"holds":[{}]}"#] {
            fs::write(&path, text).expect("written");
            let error = HoldFile::open(folder.path()).expect_err(text).to_string();
            assert!(error.contains("mend it, or remove it"), "{error}");
        }
    }
}
