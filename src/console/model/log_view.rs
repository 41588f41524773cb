//! A window on the log of one or several components.
//!
//! The position is an identity of a line, never an index: what is dropped at the old end or
//! sorted in between never moves the text under the reader's eyes.

use std::collections::{BTreeMap, VecDeque};

use regex::{Regex, RegexBuilder};
use unicode_width::UnicodeWidthStr;

use super::{LineId, LineKind, LogLine, Paging, RowKey, filter::last_line};
use crate::wire::LogRecord;

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the reader")]
pub struct LogView {
    pub keys: Vec<RowKey>,
    lines: VecDeque<LogLine>,
    bytes: usize,
    cap: usize,
    /// The oldest line that the host keeps is held.
    pub begins: bool,
    /// What comes is added at the end. Not while newer lines lie between: see
    /// `log_pages`.
    pub joined: bool,
    /// The stream is not wanted: what it would tell lies too far ahead.
    pub adrift: bool,
    /// One wanted to go further up than there are lines.
    pub(super) reaches_up: bool,
    /// How far the stream came meanwhile, by source.
    pub(super) streamed: BTreeMap<u16, u64>,
    /// The stream has to be asked for again, from what is held now.
    pub rewish: bool,
    /// A piece of the past that was asked for.
    pub paging: Option<Paging>,
    /// Pages have to be so many times as long to bring anything new.
    pub(super) stretch: u32,
    /// A time to go to that is not held yet, in milliseconds since 1970.
    pub jump: Option<i64>,
    /// The last page failed: none is asked for until the reader moves.
    pub disheartened: bool,
    /// The first line on the screen; `None`: the end is followed.
    pub top: Option<LineId>,
    /// The line that a search or a jump ended at.
    pub found: Option<LineId>,
    /// Lines that came since the view was paused.
    pub unread: u64,
    pub search: Option<Pattern>,
    pub backwards: bool,
    pub keep: Option<Pattern>,
    pub wrap: bool,
    pub stamps: bool,
    /// Columns that are scrolled to the right.
    pub left: usize,
    /// Bare lines, nothing around them.
    pub plain: bool,
}

/// A search expression: small letters match both cases.
#[derive(Debug, Clone)]
pub struct Pattern {
    pub text: String,
    expression: Regex,
}

/// Bytes that a log screen keeps, and the pane below the table.
pub const SCREEN_BYTES: usize = 16 << 20;
pub const PANE_BYTES: usize = 256 << 10;

/// Lines from the first on the screen on that are not pushed out.
const ON_SCREEN: usize = 64;

impl Pattern {
    pub fn new(text: &str) -> Result<Self, String> {
        let smart = !text.chars().any(char::is_uppercase);
        let build = |source: &str| {
            RegexBuilder::new(source).case_insensitive(smart).size_limit(1 << 20).build()
        };
        match build(text) {
            Ok(expression) => Ok(Self { text: text.to_owned(), expression }),
            Err(error) => Err(format!("\"{text}\" is no expression: {}", last_line(&error))),
        }
    }

    pub fn matches(&self, line: &LogLine) -> bool {
        self.expression.is_match(&line.plain())
    }

    /// Byte ranges of the matches in a text without colours.
    pub fn ranges(&self, plain: &str) -> Vec<std::ops::Range<usize>> {
        self.expression.find_iter(plain).map(|found| found.range()).take(100).collect()
    }
}

impl LogView {
    pub fn new(keys: Vec<RowKey>, cap: usize) -> Self {
        Self {
            keys,
            lines: VecDeque::new(),
            bytes: 0,
            cap,
            begins: false,
            joined: true,
            adrift: false,
            reaches_up: false,
            streamed: BTreeMap::new(),
            rewish: false,
            paging: None,
            stretch: 1,
            jump: None,
            disheartened: false,
            top: None,
            found: None,
            unread: 0,
            search: None,
            backwards: false,
            keep: None,
            wrap: false,
            stamps: false,
            left: 0,
            plain: false,
        }
    }

    pub fn is_merged(&self) -> bool {
        self.keys.len() > 1
    }

    pub fn follows(&self) -> bool {
        self.top.is_none()
    }

    pub fn lines(&self) -> &VecDeque<LogLine> {
        &self.lines
    }

    /// How far the stream of a component has come, to ask for what comes after it.
    pub fn reached(&self, key: &RowKey) -> Option<u64> {
        let streamed = self.streamed.get(&self.source(key)?).filter(|_| !self.joined);
        streamed.copied().or_else(|| self.newest(key))
    }

    /// The newest number of a component that is held.
    pub fn newest(&self, key: &RowKey) -> Option<u64> {
        let source = self.source(key)?;
        let of = self.lines.iter().rev().filter(|line| line.id.source == source);
        of.map(|line| line.id.seq).max()
    }

    /// The pane's, not a screen's.
    pub(super) fn is_small(&self) -> bool {
        self.cap <= PANE_BYTES
    }

    pub(super) fn source(&self, key: &RowKey) -> Option<u16> {
        self.keys.iter().position(|own| own == key).and_then(|at| u16::try_from(at).ok())
    }

    /// Takes entries of `key`; those that it has are passed over. Tells whether any was new.
    pub fn take(&mut self, key: &RowKey, records: &[LogRecord]) -> bool {
        let Some(source) = self.source(key) else { return false };
        let mut any = false;
        for record in records {
            let mut line = LogLine::new(source, record);
            line.kept = self.keeps(&line);
            let kept = line.kept;
            let new = if self.joined { self.insert(line) } else { self.passes_by(&line) };
            if new && kept && !self.follows() {
                self.unread += 1;
            }
            any |= new;
        }
        if self.follows() {
            self.drop_oldest();
        } else {
            // What one reads is not pushed out: the stream is joined again further down.
            self.drop_newest();
        }
        any
    }

    fn keeps(&self, line: &LogLine) -> bool {
        self.keep.as_ref().is_none_or(|pattern| pattern.matches(line))
    }

    /// Notes how far the stream came while what it tells is not added; whether it came further.
    fn passes_by(&mut self, line: &LogLine) -> bool {
        let held = || {
            let same = |other: &&LogLine| other.id.source == line.id.source;
            self.lines.iter().rev().find(same).map_or(0, |newest| newest.id.seq)
        };
        let streamed = self.streamed.entry(line.id.source).or_insert_with(held);
        let further = line.id.seq > *streamed;
        *streamed = line.id.seq.max(*streamed);
        further
    }

    /// Adds a line of the past.
    pub(super) fn put(&mut self, mut line: LogLine) {
        line.kept = self.keeps(&line);
        self.insert(line);
    }

    fn insert(&mut self, line: LogLine) -> bool {
        // Nearly always at the end.
        let at = match self.lines.back() {
            Some(last) if last.id >= line.id => {
                match self.lines.binary_search_by(|other| other.id.cmp(&line.id)) {
                    Ok(_known) => return false,
                    Err(at) => at,
                }
            }
            _ => self.lines.len(),
        };
        self.bytes += line.cost();
        self.lines.insert(at, line);
        true
    }

    /// Keeps to the bounds at the old end.
    pub(super) fn drop_oldest(&mut self) {
        while self.bytes > self.cap && self.lines.len() > 1 {
            if let Some(oldest) = self.lines.pop_front() {
                self.bytes -= oldest.cost();
                self.begins = false;
            }
        }
    }

    /// Keeps to the bounds at the new end, as far as what is read allows it; then at the old one.
    pub(super) fn drop_newest(&mut self) {
        let read = self.top.map_or(0, |top| self.index(top) + ON_SCREEN);
        while self.bytes > self.cap && self.lines.len() > read.max(1) {
            let Some(newest) = self.lines.pop_back() else { break };
            self.bytes -= newest.cost();
            self.joined = false;
            let streamed = self.streamed.entry(newest.id.source).or_default();
            *streamed = newest.id.seq.max(*streamed);
        }
        self.drop_oldest();
    }

    /// The stream was away for long. Whoever follows begins anew at the end; whoever reads the past
    /// stays there, and comes to the end by reading on.
    pub fn begin_anew(&mut self) {
        if self.follows() {
            self.clear();
            self.paging = None;
            self.rewish = true;
        } else {
            (self.joined, self.adrift) = (false, true);
        }
    }

    pub(super) fn clear(&mut self) {
        self.lines.clear();
        (self.bytes, self.begins, self.joined, self.adrift) = (0, false, true, false);
        self.streamed.clear();
        (self.top, self.found) = (None, None);
    }

    /// Index of the first kept line that is not before `id`.
    fn index(&self, id: LineId) -> usize {
        self.lines.partition_point(|line| line.id < id)
    }

    /// Kept lines from the first on the screen on.
    pub fn visible(&self, height: usize, width: usize) -> impl Iterator<Item = &LogLine> {
        let from = self.first(height, width);
        self.lines.range(from..).filter(|line| line.kept)
    }

    /// Index of the first line on a screen of this size.
    pub(super) fn first(&self, height: usize, width: usize) -> usize {
        let end = self.last_page(height, width);
        self.top.map_or(end, |top| self.index(top))
    }

    /// Where a page begins that ends with the last line.
    fn last_page(&self, height: usize, width: usize) -> usize {
        let mut room = height;
        let mut first = self.lines.len();
        for (index, line) in self.lines.iter().enumerate().rev().filter(|(_, line)| line.kept) {
            let rows = self.rows(line, width);
            if rows > room {
                // One line that is higher than the screen is still shown.
                return if first == self.lines.len() { index } else { first };
            }
            room -= rows;
            first = index;
        }
        first
    }

    /// Rows that a line takes.
    pub fn rows(&self, line: &LogLine, width: usize) -> usize {
        if !self.wrap || width == 0 {
            return 1;
        }
        let text = line.text.as_str();
        let columns = if text.contains('\u{1b}') { line.plain().width() } else { text.width() };
        columns.max(1).div_ceil(width.saturating_sub(self.gutter()).max(1))
    }

    /// Columns left of the text.
    pub fn gutter(&self) -> usize {
        if self.plain {
            return 0;
        }
        let stamp = if self.stamps { 13 } else { 0 };
        let name = if self.is_merged() { self.name_width() + 1 } else { 0 };
        stamp + name + 3
    }

    pub fn name_width(&self) -> usize {
        self.keys.iter().map(|key| key.id.width()).max().unwrap_or(0).min(12)
    }

    /// Moves by so many kept lines. Any upward move pauses; the last page follows again only on
    /// request, so that a reader who arrives there is not carried away.
    pub fn scroll(&mut self, by: isize, height: usize, width: usize) {
        self.disheartened = false;
        let end = self.last_page(height, width);
        let mut at = self.first(height, width);
        if self.follows() && by >= 0 {
            return;
        }
        let mut left = by.unsigned_abs();
        while left > 0 {
            let next = if by < 0 {
                (0..at).rev().find(|index| self.lines[*index].kept)
            } else {
                (at + 1..self.lines.len()).find(|index| self.lines[*index].kept)
            };
            let Some(next) = next else { break };
            at = next;
            left -= 1;
        }
        self.reaches_up = by < 0 && left > 0;
        self.pause_at(at.min(end));
    }

    fn pause_at(&mut self, index: usize) {
        if self.follows() {
            self.unread = 0;
        }
        self.top = self.lines.get(index).or(self.lines.back()).map(|line| line.id);
    }

    /// Stands still where it is.
    pub fn pause(&mut self, height: usize, width: usize) {
        if self.follows() {
            self.pause_at(self.first(height, width));
        }
    }

    pub fn follow(&mut self) {
        // A page that is on its way is for another place.
        (self.jump, self.paging, self.disheartened) = (None, None, false);
        if !self.joined {
            self.clear();
            self.rewish = true;
        }
        self.top = None;
        self.found = None;
        self.unread = 0;
    }

    pub fn to_top(&mut self) {
        (self.disheartened, self.reaches_up) = (false, true);
        self.pause_at(0);
    }

    /// Goes to this time, in milliseconds since 1970: at once where it is held, else when the
    /// page has come.
    pub fn go_to(&mut self, at: i64) {
        self.disheartened = false;
        let oldest = self.lines.front().map_or(i64::MAX, |line| line.id.at);
        let newest = self.lines.back().map_or(i64::MIN, |line| line.id.at);
        let held = (oldest <= at || self.begins) && (self.joined || at <= newest);
        if held {
            self.stand_at(at);
        } else {
            (self.jump, self.paging) = (Some(at), None);
        }
    }

    /// To the first line at or after this time.
    pub(super) fn stand_at(&mut self, at: i64) {
        let index = self.lines.partition_point(|line| line.id.at < at);
        self.pause_at(index);
        self.found = self.top;
    }

    /// To the next (or previous) line for which `wanted` holds, from the last one found or the
    /// edge of the screen; tells whether there is one.
    pub fn find(
        &mut self,
        back: bool,
        height: usize,
        width: usize,
        wanted: impl Fn(&LogLine) -> bool,
    ) -> bool {
        let first = self.first(height, width);
        let from = match self.found {
            Some(found) => self.index(found),
            None if self.follows() => self.lines.len(),
            None if back => first,
            None => first.wrapping_sub(1),
        };
        let holds = |index: &usize| {
            let line = &self.lines[*index];
            line.kept && wanted(line)
        };
        let index = if back {
            (0..from.min(self.lines.len())).rev().find(holds)
        } else {
            (from.wrapping_add(1)..self.lines.len()).find(holds)
        };
        let Some(index) = index else { return false };
        self.found = Some(self.lines[index].id);
        let on_screen: Vec<LineId> = {
            let page = self.visible(height, width).take(height);
            page.map(|line| line.id).collect()
        };
        if self.found.is_some_and(|found| on_screen.contains(&found)) {
            self.pause(height, width);
        } else {
            // A third from the top, so that what led to it is in view.
            let above = (0..index).rev().filter(|at| self.lines[*at].kept);
            let top = above.take(height / 3).last().unwrap_or(index);
            self.pause_at(top);
        }
        true
    }

    /// Shows only lines that match; all with `None`.
    pub fn keep_only(&mut self, keep: Option<Pattern>) {
        for line in &mut self.lines {
            line.kept = keep.as_ref().is_none_or(|pattern| pattern.matches(line));
        }
        self.keep = keep;
        if let Some(top) = self.top {
            let at = self.index(top);
            let next = (at..self.lines.len()).find(|index| self.lines[*index].kept);
            match next {
                Some(index) => self.pause_at(index),
                None => self.follow(),
            }
        }
    }

    /// The end of the last run that is known.
    pub fn last_exit(&self) -> Option<LineId> {
        let exit =
            |line: &&LogLine| line.kind == LineKind::Marker && !line.text.starts_with("run ");
        self.lines.iter().rev().find(exit).map(|line| line.id)
    }

    pub fn to_line(&mut self, id: LineId) {
        let index = self.index(id);
        self.pause_at(index.saturating_sub(3));
        self.found = Some(id);
    }

    /// The line that `y` copies: the found one, else the last one on the screen.
    pub fn current(&self, height: usize, width: usize) -> Option<&LogLine> {
        if let Some(found) = self.found {
            return self.lines.get(self.index(found));
        }
        self.visible(height, width).take(height).last()
    }

    /// Whether the first line on the screen is the first that the host keeps.
    pub fn is_at_beginning(&self, height: usize, width: usize) -> bool {
        self.begins
            && !self.follows()
            && self.lines.range(..self.first(height, width)).all(|line| !line.kept)
    }

    /// For tests of the bounds.
    #[cfg(test)]
    pub fn set_cap_to_what_is_held(&mut self) {
        self.cap = self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::tests::{line_at, record};

    fn view(count: u64) -> (LogView, RowKey) {
        let key = RowKey::new(0, "ps");
        let mut view = LogView::new(vec![key.clone()], 1 << 20);
        let records: Vec<_> = (0..count).map(|n| line_at(n, &format!("line {n}"))).collect();
        view.take(&key, &records);
        (view, key)
    }

    fn shown(view: &LogView, height: usize) -> Vec<String> {
        view.visible(height, 80).take(height).map(LogLine::plain).collect()
    }

    #[test]
    fn the_end_is_followed_until_one_moves_up() {
        let (mut view, key) = view(10);
        assert_eq!(shown(&view, 3), ["line 7", "line 8", "line 9"]);
        view.scroll(-1, 3, 80);
        assert_eq!(shown(&view, 3), ["line 6", "line 7", "line 8"]);
        view.take(&key, &[line_at(10, "line 10"), line_at(11, "line 11")]);
        assert_eq!(shown(&view, 3), ["line 6", "line 7", "line 8"]);
        assert_eq!(view.unread, 2);
        view.follow();
        assert_eq!(shown(&view, 3), ["line 9", "line 10", "line 11"]);
        assert_eq!(view.unread, 0);
    }

    #[test]
    fn a_flood_does_not_move_the_text_under_the_eyes() {
        let (mut view, key) = view(100);
        view.set_cap_to_what_is_held();
        // Followed, the oldest lines make room.
        view.take(&key, &(100..150).map(|n| line_at(n, &format!("line {n}"))).collect::<Vec<_>>());
        assert_eq!(shown(&view, 3), ["line 147", "line 148", "line 149"]);
        assert!(view.lines().front().expect("lines").plain() != "line 0");
        view.scroll(-5, 3, 80);
        let before = shown(&view, 3);
        let flood: Vec<_> = (150..400).map(|n| line_at(n, &format!("line {n}"))).collect();
        view.take(&key, &flood);
        assert_eq!(shown(&view, 3), before);
        assert_eq!(view.unread, 250);
        // Sent again by a new stream: counted once.
        view.take(&key, &flood);
        assert_eq!(view.unread, 250);
        assert!(view.bytes <= view.cap);
    }

    #[test]
    fn a_line_that_comes_twice_is_shown_once_and_late_ones_are_sorted_in() {
        let (mut view, key) = view(5);
        assert!(!view.take(&key, &[line_at(3, "line 3")]));
        let other = RowKey::new(0, "is");
        view.keys.push(other.clone());
        view.take(&other, &[record(1, "1970-01-01T00:00:02.500Z", "between")]);
        assert_eq!(shown(&view, 4), ["line 2", "between", "line 3", "line 4"]);
    }

    #[test]
    fn kept_lines_alone_are_counted_and_moved_over() {
        let (mut view, _) = view(30);
        view.keep_only(Some(Pattern::new("line 1").expect("plain")));
        assert_eq!(shown(&view, 3), ["line 17", "line 18", "line 19"]);
        view.scroll(-9, 3, 80);
        assert_eq!(
            shown(&view, 3),
            ["line 1", "line 10", "line 11"].map(str::to_owned)[..].to_vec()
        );
        view.keep_only(None);
        assert_eq!(shown(&view, 2), ["line 1", "line 2"]);
    }

    #[test]
    fn a_search_goes_both_ways_and_stays_where_nothing_is_found() {
        let (mut view, _) = view(50);
        let pattern = Pattern::new("LINE 2$").expect("plain");
        assert!(!view.find(true, 5, 80, |line| pattern.matches(line)), "capitals are meant");
        let pattern = Pattern::new("line .?2$").expect("plain");
        let mut found = Vec::new();
        for _ in 0..3 {
            assert!(view.find(true, 5, 80, |line| pattern.matches(line)));
            found.push(view.current(5, 80).expect("found").plain());
            assert!(shown(&view, 5).contains(found.last().expect("just pushed")));
        }
        assert_eq!(found, ["line 42", "line 32", "line 22"]);
        assert!(view.find(false, 5, 80, |line| pattern.matches(line)));
        assert_eq!(view.current(5, 80).expect("found").plain(), "line 32");
    }

    #[test]
    fn wrapped_lines_fill_the_page_from_its_end() {
        let key = RowKey::new(0, "ps");
        let mut view = LogView::new(vec![key.clone()], 1 << 20);
        view.wrap = true;
        let records: Vec<_> =
            (0..6).map(|n| line_at(n, &format!("{n}{}", "x".repeat(40)))).collect();
        view.take(&key, &records);
        // 41 columns in 22 - 3: three rows each; 7 rows hold two lines.
        assert_eq!(view.visible(7, 22).count(), 2);
        assert_eq!(view.visible(2, 22).count(), 1, "a line higher than the screen is shown");
    }
}
