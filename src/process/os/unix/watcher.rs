//! One pollable descriptor for the ends of all processes and trees.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    io::retry_on_intr,
};

use super::{Child, Tree, cgroup};
use crate::process::Notice;

/// Tells which of many processes and trees ended.
///
/// Its own descriptor becomes readable whenever [`poll`](Self::poll) has something to tell. Each
/// end is told once, so a notice that is not acted on does not come again.
#[derive(Debug)]
pub struct Watcher {
    epoll: OwnedFd,
    /// `cgroup.events`, held open: the kernel counts changes per open file.
    trees: HashMap<u64, OwnedFd>,
}

/// Set in the epoll data of trees.
const TREE: u64 = 1 << 63;

impl Watcher {
    /// Asked of the kernel at once.
    const BATCH: usize = 256;

    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, trees: HashMap::new() })
    }

    /// `token` comes back in the notice; it is below 2^63. It is told at once if the process has
    /// ended already.
    pub fn add_child(&mut self, child: &Child, token: u64) -> io::Result<()> {
        let token = EventData::new_u64(token & !TREE);
        // Once: an ended process would be ready for as long as it is held, and its reap would be
        // a second event.
        epoll::add(&self.epoll, child.as_fd(), token, EventFlags::IN | EventFlags::ONESHOT)?;
        Ok(())
    }

    /// True: a notice comes when the tree is empty (at once if it is so already). False: this
    /// level knows no such thing, so [`Tree::is_empty`] has to be asked now and then.
    pub fn add_tree(&mut self, tree: &Tree, token: u64) -> io::Result<bool> {
        let Some(events) = tree.open_events()? else { return Ok(false) };
        let token = token & !TREE;
        let data = EventData::new_u64(token | TREE);
        // A file that was never read counts as changed, so the first poll looks at it.
        epoll::add(&self.epoll, &events, data, EventFlags::PRI | EventFlags::ET)?;
        self.trees.insert(token, events);
        Ok(true)
    }

    /// Nothing is told of it from now on.
    pub fn remove_child(&mut self, child: &Child) {
        let _was_not_added = epoll::delete(&self.epoll, child.as_fd());
    }

    /// Nothing is told of it from now on.
    pub fn remove_tree(&mut self, token: u64) {
        // The kernel forgets a descriptor that is closed.
        self.trees.remove(&(token & !TREE));
    }

    /// Appends all that there is, without waiting.
    pub fn poll(&self, notices: &mut Vec<Notice>) -> io::Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(Self::BATCH);
        loop {
            events.clear();
            let now = Some(&Timespec::default());
            retry_on_intr(|| epoll::wait(&self.epoll, spare_capacity(&mut events), now))?;
            notices.extend(events.iter().filter_map(|event| self.notice(event.data.u64())));
            if events.len() < Self::BATCH {
                return Ok(());
            }
        }
    }

    fn notice(&self, data: u64) -> Option<Notice> {
        let token = data & !TREE;
        if data & TREE == 0 {
            return Some(Notice::Exited { token });
        }
        // An unreadable file is no proof that the tree is empty, nor that it is not: whoever is told
        // looks for himself, and the kernel tells of this change once.
        let is_empty = cgroup::is_unpopulated(self.trees.get(&token)?.as_fd()).unwrap_or(true);
        is_empty.then_some(Notice::TreeEmpty { token })
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
