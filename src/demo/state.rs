//! What a demo component is and counts; shared by its pages and its periodic work.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// The state of one demo component.
#[derive(Debug)]
pub struct State {
    pub name: String,
    pub ready: AtomicBool,
    /// It lives, but does not answer any more.
    pub hung: AtomicBool,
    requests: AtomicU64,
    images: AtomicU64,
    /// Memory in use, in pieces.
    memory: Mutex<Vec<Vec<u8>>>,
}

impl State {
    pub fn new(name: &str, megabytes: usize) -> Self {
        let state = Self {
            name: name.to_owned(),
            ready: AtomicBool::new(true),
            hung: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            images: AtomicU64::new(0),
            memory: Mutex::new(Vec::new()),
        };
        state.take_memory(megabytes);
        state
    }

    /// Takes memory and touches it, so that it is resident.
    pub fn take_memory(&self, megabytes: usize) {
        // Not zero: a page of zeros need not be resident.
        let piece = vec![0xA5; megabytes << 20];
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).push(piece);
    }

    pub fn megabytes(&self) -> usize {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.iter().map(Vec::len).sum::<usize>() >> 20
    }

    /// Counts a request; its number, from 1.
    pub fn count_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Counts a piece of periodic work; its number, from 1.
    pub fn count_image(&self) -> u64 {
        self.images.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The page that a browser shows.
    pub fn page(&self) -> String {
        format!(
            "s7supervisor demo component {}\n\
             pid       {}\n\
             requests  {}\n\
             images    {}\n\
             memory    {} MB\n\
             \n\
             curl -X POST this address followed by one of\n\
             \x20 /crash?code=3   exit at once with this code\n\
             \x20 /abort          end by SIGABRT\n\
             \x20 /hang           live on, answer nothing\n\
             \x20 /leak?mb=10     take memory\n\
             \x20 /log?lines=1000 write lines\n\
             \x20 /ready?value=false  tell that it is not ready\n",
            self.name,
            std::process::id(),
            self.requests.load(Ordering::Relaxed),
            self.images.load(Ordering::Relaxed),
            self.megabytes(),
        )
    }
}
