//! What the log thread is told.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender},
    },
};

use regex::bytes::Regex;

use super::super::{handle::Shared, intake::OpenLine, os::Pipe, trace::Queue};
use crate::{
    guardian::{DescriptorStore, Stores},
    model::{ComponentId, Exit, RunId},
    registry::Output,
};

pub(in crate::logs) enum Command {
    Open {
        id: ComponentId,
        output: Arc<Output>,
        pipes: [Pipe; 2],
        shared: Arc<Shared>,
    },
    Configure {
        id: ComponentId,
        output: Arc<Output>,
    },
    Close {
        id: ComponentId,
        remove: Vec<PathBuf>,
    },
    Retire {
        id: ComponentId,
        remove: [PathBuf; 2],
    },
    Started {
        id: ComponentId,
        run: RunId,
        pid: u32,
    },
    Exited {
        id: ComponentId,
        run: RunId,
        exit: Exit,
        expected: bool,
    },
    Watch {
        id: ComponentId,
        run: RunId,
        pattern: Regex,
        from_now: bool,
    },
    Unwatch {
        id: ComponentId,
    },
    Settle {
        id: ComponentId,
        done: SyncSender<()>,
    },
    Trace {
        log: PathBuf,
        keep_days: u32,
        queue: Arc<Queue>,
    },
    KeepPipes {
        stores: Stores,
    },
    Reopen,
    Sync {
        done: SyncSender<()>,
    },
    /// Everything that was read goes to the files, and nothing is read until `thaw` is told or
    /// gone. The pipes are given to `pipes`, and stay open for as long.
    Freeze {
        frozen: SyncSender<Frozen>,
        thaw: Receiver<()>,
        pipes: Arc<dyn DescriptorStore>,
    },
    Shutdown,
}

impl Command {
    /// Somebody waits for an answer.
    pub fn is_awaited(&self) -> bool {
        match self {
            Self::Sync { .. } | Self::Settle { .. } | Self::Freeze { .. } | Self::Shutdown => true,
            Self::Open { .. }
            | Self::Configure { .. }
            | Self::Close { .. }
            | Self::Retire { .. }
            | Self::Started { .. }
            | Self::Exited { .. }
            | Self::Watch { .. }
            | Self::Unwatch { .. }
            | Self::Trace { .. }
            | Self::KeepPipes { .. }
            | Self::Reopen => false,
        }
    }
}

/// What the log thread has in its hands while it rests.
#[derive(Debug, Default)]
pub struct Frozen {
    /// Lines that are begun, in files that have whole lines only.
    pub lines: Vec<OpenLine>,
}
