//! The driver: takes inputs from the world, calls the supervisor, performs its effects,
//! publishes what came of it, keeps the journal.
//!
//! ```text
//!  clients ──► Handle ──► messages ─┐                      ┌─► spawner ──► made ─┐
//!  pidfds, cgroups ──► notices ─────┤                      ├─► process (signals) │
//!  probes, logs ──► findings ───────┼─► driver ─► supervisor ─► effects           │
//!  signals ─────────────────────────┤      ▲               ├─► journal, probes   │
//!  deadlines ───────────────────────┘      │               └─► waiters           │
//!                                          └─────────────────────────────────────┘
//! ```
//!
//! Knows every room of the world and the supervisor. Does not decide (that is the supervisor's)
//! and does not know how a screen looks.

mod alerting;
mod beginning;
mod births;
mod candidate;
mod clock;
mod details;
mod dossiers;
mod driver;
mod effects;
mod ending;
mod engine;
mod evidence;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod guarding;
mod handle;
mod handover;
mod history;
mod holds;
mod inheritance;
mod journal;
mod launch;
mod limits;
mod links;
mod lock;
mod log_answers;
mod log_feed;
mod loose_ends;
mod messages;
mod metrics;
mod notify;
mod passing;
mod publish;
mod recall;
mod recording;
mod remains;
mod samples;
mod signals;
mod spawner;
mod status;
mod tallies;
mod telling;
mod tidy;
mod trace_feed;
mod unclaimed;
mod upgrade;

pub use candidate::{Candidate, VERB as TAKEOVER_VERB};
pub use engine::{Embedding, EngineError, EngineOptions, run, tree_name};
pub use guarding::Successor;
pub use handle::{Handle, Message, Request, Targets};
pub use handover::Handover;
pub use history::HistoryRange;
pub use lock::Lock;
pub use log_feed::{LogFeed, LogRequest, LogSources};
pub use notify::descriptors_kept;
pub use recording::{ReplayError, Replayed, replay};
pub use remains::{JournalRemains, RemainingProcess, Remains, remains};
pub use trace_feed::{TraceFeed, TraceRequest};
