//! Notices that wait to be told: one per component and kind, whatever happens how often.

use std::mem;

use super::Notice;

/// Notices of one message. A host of a thousand components that loses its disk makes one message
/// that can be read, not one of a megabyte.
const MOST: usize = 200;

#[derive(Debug, Default)]
pub(super) struct Collection {
    notices: Vec<Notice>,
    /// Happenings beyond `MOST`.
    more: u64,
}

impl Collection {
    pub fn add(&mut self, notice: &Notice) {
        let same = |one: &&mut Notice| one.kind == notice.kind && one.component == notice.component;
        if let Some(earlier) = self.notices.iter_mut().find(same) {
            let (count, first_at) = (earlier.count, mem::take(&mut earlier.first_at));
            *earlier = notice.clone();
            earlier.count = count.saturating_add(notice.count);
            earlier.first_at = first_at;
        } else if self.notices.len() < MOST {
            self.notices.push(notice.clone());
        } else {
            self.more += u64::from(notice.count);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.notices.is_empty()
    }

    /// Happenings in it.
    pub fn len(&self) -> u64 {
        self.notices.iter().map(|notice| u64::from(notice.count)).sum::<u64>() + self.more
    }

    /// The notices in the order of what happened last, and how many happenings were too many.
    pub fn take(&mut self) -> (Vec<Notice>, u64) {
        let mut notices = mem::take(&mut self.notices);
        notices.sort_by_key(|notice| notice.seq);
        (notices, mem::take(&mut self.more))
    }
}
