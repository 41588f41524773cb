//! How a view of logs goes beyond the lines that it holds: piece by piece, as they are read.
//!
//! ```text
//!   oldest that is kept ······ [ lines held ] ······ newest
//!                          ▲                  ▲
//!                older pages, when        the live end, while the view is joined to it; else
//!                one reads up there       newer pages, when one reads down there
//! ```
//!
//! What is held is without holes, and bounded: a page that comes in at one end pushes lines out at
//! the other. Lines are known again by their log and number, not by their time: what was read
//! from memory has milliseconds, the same line from a file may have seconds.

use std::collections::BTreeMap;

use super::{LogLine, LogView, RowKey};
use crate::{
    console::feed::{HostIndex, Page, Part},
    wire::LogRecord,
};

/// Entries of a page, over all logs of a view.
const ENTRIES: u32 = 2000;

/// What of the past has been asked for.
#[derive(Debug)]
pub struct Paging {
    pub number: u64,
    pub part: Part,
    /// Hosts that have not answered yet.
    pub waits_for: Vec<HostIndex>,
    came: Vec<(RowKey, Vec<LogRecord>)>,
    last: bool,
}

/// What became of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paged {
    /// Other hosts have to answer first.
    Waits,
    Taken,
    Failed(String),
}

impl Paging {
    pub fn new(number: u64, part: Part, hosts: Vec<HostIndex>) -> Self {
        Self { number, part, waits_for: hosts, came: Vec::new(), last: true }
    }
}

impl LogView {
    /// Entries of one log that a page should have.
    pub fn page_entries(&self) -> u32 {
        let share = u32::try_from(self.keys.len()).unwrap_or(u32::MAX).max(1);
        let most = if self.is_small() { ENTRIES / 10 } else { ENTRIES };
        (most / share).max(20).saturating_mul(self.stretch)
    }

    /// The page that what is on the screen calls for, if there is one to ask for.
    pub fn wants_page(&self, height: usize, width: usize) -> Option<Part> {
        if self.paging.is_some() || self.disheartened {
            return None;
        }
        if let Some(at) = self.jump {
            return Some(Part::Since(stamp(at)));
        }
        if self.follows() {
            return None;
        }
        let near = height.max(20);
        let first = self.first(height, width);
        if (first < near || self.reaches_up) && !self.begins {
            let oldest = self.lines().front()?.id.at;
            // Lines from files have whole seconds: some of this millisecond may be older.
            return Some(Part::Until(stamp(oldest.saturating_add(1))));
        }
        if !self.joined && first + height + near > self.lines().len() {
            let places = self.keys.iter().filter_map(|key| {
                // A log without lines here begins where the others do.
                Some((key.id.to_string(), self.newest(key)?))
            });
            return Some(Part::After(places.collect()));
        }
        None
    }

    /// Takes what a host answered.
    pub fn take_page(&mut self, host: HostIndex, page: Result<Page, String>) -> Paged {
        let Some(paging) = &mut self.paging else { return Paged::Waits };
        // Of lines that do not match there may be many: each page is a wish of its own.
        self.reaches_up = false;
        let page = match page {
            Ok(page) => page,
            Err(why) => {
                self.paging = None;
                self.jump = None;
                // Asked again when the reader moves again.
                self.disheartened = true;
                return Paged::Failed(why);
            }
        };
        paging.waits_for.retain(|other| *other != host);
        paging.last &= page.last;
        let came = page.logs.into_iter().map(|(id, records)| (RowKey::new(host, &id), records));
        paging.came.extend(came);
        if !paging.waits_for.is_empty() {
            return Paged::Waits;
        }
        let Some(paging) = self.paging.take() else { return Paged::Waits };
        match paging.part {
            Part::Until(_) => self.take_older(paging.came, paging.last),
            Part::Since(_) => self.take_since(paging.came, paging.last),
            Part::After(_) => self.take_newer(paging.came, paging.last),
        }
        Paged::Taken
    }

    fn take_older(&mut self, came: Vec<(RowKey, Vec<LogRecord>)>, last: bool) {
        let oldest = self.oldest_numbers();
        let limit = self.lines().front().map_or(i64::MAX, |line| line.id.at);
        let most = self.page_entries() as usize;
        let mut older: Vec<LogLine> = Vec::new();
        // A busy log's page reaches less far than a quiet one's: what is older than the shortest
        // comes with the next page, else there would be a hole in the busy one.
        let mut horizon = i64::MIN;
        for (key, records) in came {
            let Some(source) = self.source(&key) else { continue };
            let before = oldest.get(&source).copied().unwrap_or(u64::MAX);
            let lines = records.iter().filter(|record| record.seq < before).map(|record| {
                let mut line = LogLine::new(source, record);
                line.id.at = line.id.at.min(limit);
                line
            });
            let lines: Vec<LogLine> = lines.collect();
            if !last && records.len() >= most {
                horizon = horizon.max(lines.first().map_or(i64::MIN, |line| line.id.at));
            }
            older.extend(lines);
        }
        older.retain(|line| line.id.at >= horizon);
        self.begins = last;
        if older.is_empty() && !last {
            // More lines of one second than a page has, in files that note seconds.
            self.stretch = self.stretch.saturating_mul(4);
            self.begins = self.stretch > 64;
        } else {
            self.stretch = 1;
        }
        for line in older {
            self.put(line);
        }
        self.drop_newest();
    }

    fn take_since(&mut self, came: Vec<(RowKey, Vec<LogRecord>)>, last: bool) {
        let oldest = self.oldest_numbers();
        let reaches = |(source, number): (&u16, &u64)| {
            came.iter().any(|(key, records)| {
                self.source(key) == Some(*source)
                    && records.last().is_some_and(|record| record.seq >= *number)
            })
        };
        // What is held is gone on with where the page reaches it; else it is left behind.
        let overlaps = !oldest.is_empty() && (last || oldest.iter().all(reaches));
        if !overlaps {
            self.clear();
            self.joined = last;
        }
        for (key, records) in came {
            let Some(source) = self.source(&key) else { continue };
            let before = oldest.get(&source).copied().filter(|_| overlaps).unwrap_or(u64::MAX);
            for record in records.iter().filter(|record| record.seq < before) {
                self.put(LogLine::new(source, record));
            }
        }
        if let Some(at) = self.jump.take() {
            // Since the beginning of time: there is nothing older.
            self.begins |= at == 0;
            self.stand_at(at);
        }
        if self.joined && !overlaps {
            // The stream goes on behind the page.
            self.rewish = true;
        }
        self.drop_newest();
    }

    fn take_newer(&mut self, came: Vec<(RowKey, Vec<LogRecord>)>, last: bool) {
        for (key, records) in came {
            let Some(source) = self.source(&key) else { continue };
            let known = self.newest(&key).unwrap_or(0);
            for record in records.iter().filter(|record| record.seq > known) {
                self.put(LogLine::new(source, record));
            }
        }
        if last {
            (self.joined, self.adrift, self.rewish) = (true, false, true);
            self.streamed.clear();
        }
        self.drop_oldest();
    }

    /// The lowest number of each log that is held.
    fn oldest_numbers(&self) -> BTreeMap<u16, u64> {
        let mut oldest = BTreeMap::new();
        for line in self.lines() {
            let number = oldest.entry(line.id.source).or_insert(line.id.seq);
            *number = line.id.seq.min(*number);
        }
        oldest
    }
}

/// RFC 3339 of milliseconds since 1970.
fn stamp(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::tests::line_at;

    fn view() -> (LogView, RowKey) {
        let key = RowKey::new(0, "ps");
        (LogView::new(vec![key.clone()], 1 << 20), key)
    }

    fn records(range: std::ops::Range<u64>) -> Vec<LogRecord> {
        range.map(|n| line_at(n, &format!("line {n}"))).collect()
    }

    fn page(range: std::ops::Range<u64>, last: bool) -> Page {
        Page { logs: vec![("ps".to_owned(), records(range))], last }
    }

    fn first(view: &LogView) -> String {
        view.visible(3, 80).next().expect("lines are shown").plain()
    }

    fn ask(view: &mut LogView) -> Part {
        let part = view.wants_page(3, 80).expect("a page is wanted");
        view.paging = Some(Paging::new(1, part.clone(), vec![0]));
        assert_eq!(view.wants_page(3, 80), None, "one at a time");
        part
    }

    #[test]
    fn reading_up_brings_older_lines_until_there_are_none() {
        let (mut view, key) = view();
        view.take(&key, &records(500..600));
        assert_eq!(view.wants_page(3, 80), None);
        view.to_top();
        assert_eq!(ask(&mut view), Part::Until("1970-01-01T00:08:20.001Z".to_owned()));
        // With a line that is known, at another time than before: files have seconds.
        let mut older = records(400..501);
        older.last_mut().expect("lines").at = "1970-01-01T00:08:19Z".to_owned();
        let answer = Ok(Page { logs: vec![("ps".to_owned(), older)], last: false });
        assert_eq!(view.take_page(0, answer), Paged::Taken);
        assert_eq!(view.lines().len(), 200);
        assert_eq!(first(&view), "line 500", "the text stands still");
        view.scroll(-1, 3, 80);
        assert_eq!(first(&view), "line 499");
        view.to_top();
        ask(&mut view);
        view.take_page(0, Ok(page(400..400, true)));
        assert!(view.begins);
        assert_eq!(view.wants_page(3, 80), None);
    }

    #[test]
    fn what_is_held_is_bounded_at_both_ends_and_joins_the_stream_again() {
        let (mut view, key) = view();
        view.take(&key, &records(500..600));
        view.set_cap_to_what_is_held();
        view.to_top();
        ask(&mut view);
        view.take_page(0, Ok(page(400..500, false)));
        assert!(view.lines().len() <= 101 && !view.joined);
        assert_eq!(first(&view), "line 500");
        // The stream goes on meanwhile: counted, not mixed in.
        view.take(&key, &records(600..605));
        assert_eq!(view.unread, 5);
        assert!(view.lines().back().expect("lines").id.seq < 599);
        // Down again: what was pushed out comes back, and then the stream.
        let newest = view.newest(&key).expect("lines");
        view.scroll(50, 3, 80);
        assert_eq!(ask(&mut view), Part::After(vec![("ps".to_owned(), newest)]));
        view.take_page(0, Ok(page(newest..605, true)));
        assert!(view.joined && std::mem::take(&mut view.rewish));
        view.take(&key, &records(605..606));
        assert_eq!(view.lines().back().expect("lines").plain(), "line 605");
        let held: Vec<u64> = view.lines().iter().map(|line| line.id.seq).collect();
        assert!(held.windows(2).all(|two| two[1] == two[0] + 1), "no holes: {held:?}");
    }

    #[test]
    fn a_time_far_back_leaves_what_is_held_and_following_returns() {
        let (mut view, key) = view();
        view.take(&key, &records(9000..9100));
        view.go_to(1000 * 1000);
        assert_eq!(ask(&mut view), Part::Since("1970-01-01T00:16:40Z".to_owned()));
        view.take_page(0, Ok(page(1000..1200, false)));
        assert_eq!(first(&view), "line 1000");
        assert_eq!((view.lines().len(), view.joined), (200, false));
        view.follow();
        assert!(view.rewish && view.joined && view.lines().is_empty());
    }

    #[test]
    fn a_time_near_by_joins_what_is_held() {
        let (mut view, key) = view();
        view.take(&key, &records(9000..9100));
        view.go_to(8950 * 1000);
        ask(&mut view);
        view.take_page(0, Ok(page(8950..9050, false)));
        assert_eq!((first(&view).as_str(), view.joined), ("line 8950", true));
        assert_eq!(view.lines().len(), 150);
        // What is held already is not asked for.
        view.go_to(9010 * 1000);
        assert_eq!(first(&view), "line 9010");
        assert_eq!(view.wants_page(3, 80), None);
    }

    #[test]
    fn a_quiet_log_does_not_make_holes_in_a_busy_one() {
        let (mut view, busy) = view();
        let quiet = RowKey::new(0, "is");
        view.keys.push(quiet.clone());
        view.take(&busy, &records(5000..5010));
        view.take(&quiet, &records(5000..5001));
        view.to_top();
        ask(&mut view);
        let most = u64::from(view.page_entries());
        let busy_ones = records(5000 - most..5000);
        let quiet_ones = vec![line_at(7, "long ago"), line_at(4999, "lately")];
        let logs = vec![("ps".to_owned(), busy_ones), ("is".to_owned(), quiet_ones)];
        view.take_page(0, Ok(Page { logs, last: false }));
        let texts: Vec<String> = view.lines().iter().map(LogLine::plain).collect();
        assert!(texts.contains(&"lately".to_owned()));
        assert!(!texts.contains(&"long ago".to_owned()), "it comes with the next page");
        assert!(!view.begins);
    }

    #[test]
    fn among_lines_that_match_older_ones_are_read_when_one_reaches_for_them() {
        let (mut view, key) = view();
        view.take(&key, &records(500..600));
        view.keep_only(Some(crate::console::model::Pattern::new("line 599").expect("plain")));
        view.pause(3, 80);
        assert_eq!(view.wants_page(3, 80), None);
        view.scroll(-1, 3, 80);
        ask(&mut view);
        view.take_page(0, Ok(page(400..500, false)));
        assert_eq!(view.wants_page(3, 80), None, "not the whole past because nothing matches");
        view.scroll(-1, 3, 80);
        ask(&mut view);
    }

    #[test]
    fn after_a_long_absence_the_end_is_shown_and_the_past_stays() {
        let (mut view, key) = view();
        view.take(&key, &records(500..600));
        view.begin_anew();
        assert!(view.lines().is_empty() && view.rewish && view.reached(&key).is_none());
        view.take(&key, &records(500..600));
        view.to_top();
        view.begin_anew();
        assert!(view.adrift && !view.joined && first(&view) == "line 500");
        view.begins = true;
        view.scroll(95, 3, 80);
        ask(&mut view);
        view.take_page(0, Ok(page(600..700, true)));
        assert!(view.joined && !view.adrift);
    }

    #[test]
    fn a_page_that_fails_is_asked_for_again_when_the_reader_moves() {
        let (mut view, key) = view();
        view.take(&key, &records(500..600));
        view.to_top();
        ask(&mut view);
        let why = "gone".to_owned();
        assert_eq!(view.take_page(0, Err(why.clone())), Paged::Failed(why));
        assert_eq!(view.wants_page(3, 80), None);
        view.scroll(-1, 3, 80);
        assert!(view.wants_page(3, 80).is_some());
    }
}
