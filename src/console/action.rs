//! The one table of everything an operator can do.
//!
//! The keymap, the help, the palette, the footer's hints and the manual are all made from
//! [`ACTIONS`]; nothing is bound, listed or explained anywhere else.

/// Where an action is bound. A key is looked up in the screen's own context first, then in
/// [`Context::Everywhere`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Context {
    Everywhere,
    Components,
    Details,
    Logs,
    SupervisorLog,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    Up,
    Down,
    Top,
    Bottom,
    HalfUp,
    HalfDown,
    PageUp,
    PageDown,
    Open,
    Back,
    Quit,
    Help,
    Palette,
    Start,
    Stop,
    Restart,
    Kill,
    Hold,
    Release,
    StartShown,
    StopShown,
    RestartShown,
    Logs,
    SupervisorLog,
    Events,
    Details,
    Freeze,
    Copy,
    Mouse,
    Redraw,
    Reconnect,
    Filter,
    NextPane,
    Zoom,
    Mark,
    MarkRange,
    MarkShown,
    Unmark,
    SortMenu,
    SortPrevious,
    SortNext,
    SortInvert,
    SortCpu,
    SortMemory,
    SortUptime,
    SortName,
    Problems,
    NextTab,
    PreviousTab,
    LongerRange,
    ShorterRange,
    Search,
    SearchBack,
    NextMatch,
    PreviousMatch,
    Keep,
    Follow,
    NextError,
    PreviousError,
    Wrap,
    Stamps,
    WindowTail,
    WindowHead,
    Window1m,
    Window5m,
    Window15m,
    Window30m,
    Window1h,
    TimeJump,
    Left,
    Right,
    PlainCopy,
    SaveLog,
    Targets,
    TargetShow,
    TargetHide,
    LevelUp,
    LevelDown,
}

/// Headings of the help, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Acting,
    Moving,
    Screens,
    Choosing,
    Reading,
    Other,
}

#[derive(Debug)]
pub struct Entry {
    pub action: Action,
    /// Stable: the key file and the palette name it.
    pub id: &'static str,
    pub context: Context,
    /// Default keys, in the spelling of [`Key`](super::key::Key); the first is shown.
    pub keys: &'static [&'static str],
    /// What it does, for help and palette.
    pub help: &'static str,
    /// One word for the footer, and its rank there; hints of a lower rank come first.
    pub hint: Option<(&'static str, u8)>,
    pub group: Group,
    /// It changes components: not there when the console only reads.
    pub mutates: bool,
}

const fn entry(
    action: Action,
    id: &'static str,
    context: Context,
    keys: &'static [&'static str],
    help: &'static str,
    group: Group,
) -> Entry {
    Entry { action, id, context, keys, help, hint: None, group, mutates: false }
}

impl Entry {
    const fn hint(mut self, word: &'static str, rank: u8) -> Self {
        self.hint = Some((word, rank));
        self
    }

    const fn mutating(mut self) -> Self {
        self.mutates = true;
        self
    }
}

use Action as A;
use Context::{Components, Details, Everywhere, Logs, SupervisorLog};
use Group::{Acting, Choosing, Moving, Other, Reading, Screens};

/// Everything, in the order of the help.
#[rustfmt::skip] // a table: one action, one line
pub const ACTIONS: &[Entry] = &[
    entry(A::Restart, "restart", Everywhere, &["r"], "restart the selected or marked components", Acting).hint("restart", 6).mutating(),
    entry(A::Start, "start", Everywhere, &["s"], "start them", Acting).hint("start", 7).mutating(),
    entry(A::Stop, "stop", Everywhere, &["x"], "stop them", Acting).hint("stop", 8).mutating(),
    entry(A::Kill, "kill", Everywhere, &["K"], "kill their whole process trees at once", Acting).hint("kill", 12).mutating(),
    entry(A::Hold, "hold", Everywhere, &["H"], "hold them: no start and no restart until a time", Acting).mutating(),
    entry(A::Release, "release", Everywhere, &[], "release them from a hold", Acting).mutating(),
    entry(A::RestartShown, "restart-shown", Components, &["R"], "restart all that are shown", Acting).mutating(),
    entry(A::StartShown, "start-shown", Components, &["S"], "start all that are shown", Acting).mutating(),
    entry(A::StopShown, "stop-shown", Components, &["X"], "stop all that are shown", Acting).mutating(),

    entry(A::Up, "up", Everywhere, &["k", "Up"], "up", Moving),
    entry(A::Down, "down", Everywhere, &["j", "Down"], "down", Moving),
    entry(A::Top, "top", Everywhere, &["g", "Home"], "to the first line", Moving),
    entry(A::Bottom, "bottom", Everywhere, &["G", "End"], "to the last line; in a log: follow it", Moving),
    entry(A::HalfDown, "half-page-down", Everywhere, &["ctrl-d"], "half a page down", Moving),
    entry(A::HalfUp, "half-page-up", Everywhere, &["ctrl-u"], "half a page up", Moving),
    entry(A::PageDown, "page-down", Everywhere, &["PgDn", "ctrl-f"], "a page down", Moving),
    entry(A::PageUp, "page-up", Everywhere, &["PgUp"], "a page up", Moving),

    entry(A::Open, "open", Components, &["Enter"], "open the details", Screens).hint("details", 3),
    entry(A::Back, "back", Everywhere, &["Esc"], "back one level; clear marks, then the filter", Screens).hint("back", 1),
    entry(A::Logs, "logs", Everywhere, &["l"], "logs of the selected or marked components", Screens).hint("logs", 4),
    entry(A::Details, "details", Everywhere, &["d"], "details of the selected component", Screens),
    entry(A::Events, "events", Everywhere, &["e"], "events: what happened, and who asked for it", Screens).hint("events", 9),
    entry(A::SupervisorLog, "supervisor-log", Everywhere, &["L"], "the Supervisor's own log", Screens),
    entry(A::Help, "help", Everywhere, &["?", "F1"], "this list", Screens).hint("help", 0),
    entry(A::Palette, "palette", Everywhere, &[":"], "the palette: any action by name", Screens).hint("palette", 14),
    entry(A::Quit, "quit", Everywhere, &["q", "F10"], "back; at the top: quit", Screens).hint("quit", 15),

    entry(A::Filter, "filter", Components, &["/", "F4"], "filter: text, !text, state:failed, cpu>50, re:...", Choosing).hint("filter", 2),
    entry(A::Problems, "problems", Components, &["!"], "problems only, on or off", Choosing).hint("problems", 10),
    entry(A::Mark, "mark", Components, &["Space"], "mark, or unmark", Choosing).hint("mark", 11),
    entry(A::MarkRange, "mark-range", Components, &["v"], "mark from the last mark to here", Choosing),
    entry(A::MarkShown, "mark-shown", Components, &["*"], "mark all that are shown", Choosing),
    entry(A::Unmark, "unmark", Components, &["u"], "remove all marks", Choosing),
    entry(A::SortMenu, "sort", Components, &["o"], "choose the sort column", Choosing).hint("sort", 13),
    entry(A::SortPrevious, "sort-previous", Components, &["<"], "sort by the column to the left", Choosing),
    entry(A::SortNext, "sort-next", Components, &[">"], "sort by the column to the right", Choosing),
    entry(A::SortInvert, "sort-invert", Components, &["I"], "turn the order round", Choosing),
    entry(A::SortCpu, "sort-cpu", Components, &["P"], "sort by CPU", Choosing),
    entry(A::SortMemory, "sort-memory", Components, &["M"], "sort by memory", Choosing),
    entry(A::SortUptime, "sort-uptime", Components, &["T"], "sort by uptime", Choosing),
    entry(A::SortName, "sort-name", Components, &["N"], "sort by name", Choosing),
    entry(A::NextPane, "next-pane", Components, &["Tab", "BackTab"], "the keys move in the other pane", Choosing),
    entry(A::Zoom, "zoom", Components, &["z"], "the focused pane alone, or all panes", Choosing),

    entry(A::NextTab, "details.next-tab", Details, &["Tab", "Right"], "next tab", Reading).hint("tabs", 2),
    entry(A::PreviousTab, "details.previous-tab", Details, &["BackTab", "Left"], "previous tab", Reading),
    entry(A::LongerRange, "details.longer", Details, &["+"], "charts: a longer time", Reading),
    entry(A::ShorterRange, "details.shorter", Details, &["-"], "charts: a shorter time", Reading),

    entry(A::Follow, "logs.follow", Logs, &["F"], "follow the end", Reading).hint("follow", 4),
    entry(A::Search, "logs.search", Logs, &["/"], "search down", Reading).hint("search", 2),
    entry(A::SearchBack, "logs.search-back", Logs, &["?"], "search up", Reading),
    entry(A::NextMatch, "logs.next-match", Logs, &["n"], "next match", Reading),
    entry(A::PreviousMatch, "logs.previous-match", Logs, &["N"], "previous match", Reading),
    entry(A::Keep, "logs.keep", Logs, &["&"], "show only lines that match", Reading).hint("keep", 3),
    entry(A::NextError, "logs.next-error", Logs, &["e"], "next error", Reading).hint("next error", 5),
    entry(A::PreviousError, "logs.previous-error", Logs, &["E"], "previous error", Reading),
    entry(A::Wrap, "logs.wrap", Logs, &["w"], "wrap long lines", Reading).hint("wrap", 10),
    entry(A::Stamps, "logs.stamps", Logs, &["t"], "time stamps on or off", Reading).hint("times", 11),
    entry(A::Left, "logs.left", Logs, &["h", "Left"], "sideways to the left", Reading),
    entry(A::Right, "logs.right", Logs, &["l", "Right"], "sideways to the right", Reading),
    entry(A::WindowTail, "logs.tail", Logs, &["0"], "the end", Reading),
    entry(A::WindowHead, "logs.head", Logs, &["1"], "the oldest line that is kept", Reading),
    entry(A::Window1m, "logs.last-1m", Logs, &["2"], "the last minute", Reading),
    entry(A::Window5m, "logs.last-5m", Logs, &["3"], "the last 5 minutes", Reading),
    entry(A::Window15m, "logs.last-15m", Logs, &["4"], "the last 15 minutes", Reading),
    entry(A::Window30m, "logs.last-30m", Logs, &["5"], "the last 30 minutes", Reading),
    entry(A::Window1h, "logs.last-1h", Logs, &["6"], "the last hour", Reading),
    entry(A::TimeJump, "logs.go-to-time", Logs, &["T"], "go to a time: 14:02, -10m, last-exit", Reading).hint("time", 12),
    entry(A::PlainCopy, "logs.plain", Logs, &["C"], "plain lines, to copy with the terminal's own selection", Reading),
    entry(A::SaveLog, "logs.save", Logs, &["W"], "save what is shown to a file (also :w FILE)", Reading),

    entry(A::Targets, "targets", SupervisorLog, &["t"], "choose levels per target", Reading).hint("targets", 2),
    entry(A::TargetShow, "supervisor-log.more", SupervisorLog, &["Right"], "targets: show more levels", Reading),
    entry(A::TargetHide, "supervisor-log.less", SupervisorLog, &["Left"], "targets: show fewer levels", Reading),
    entry(A::LevelUp, "supervisor-log.capture-more", SupervisorLog, &["+"], "targets: capture more levels", Reading),
    entry(A::LevelDown, "supervisor-log.capture-less", SupervisorLog, &["-"], "targets: capture fewer levels", Reading),

    entry(A::Freeze, "freeze", Everywhere, &["Z"], "freeze the screen, or go on", Other),
    entry(A::Copy, "copy", Everywhere, &["y"], "send the name or line to the terminal's clipboard", Other),
    entry(A::Mouse, "mouse", Everywhere, &["m"], "mouse on or off", Other),
    entry(A::Redraw, "redraw", Everywhere, &["ctrl-l"], "draw the whole screen anew", Other),
    entry(A::Reconnect, "reconnect", Everywhere, &[], "try the lost connection again now (r while STALE)", Other),
];

/// The entry of an action.
///
/// # Panics
/// Never: a test holds that every action stands in the table.
pub fn entry_of(action: Action) -> &'static Entry {
    ACTIONS.iter().find(|entry| entry.action == action).expect("every action stands in the table")
}

/// The table as Markdown, for the manual: `docs/console.md` holds it, and a test that it does.
pub fn manual() -> String {
    let line = |entry: &Entry| {
        let keys: Vec<String> = entry.keys.iter().map(|key| format!("`{key}`")).collect();
        let place = match entry.context {
            Everywhere | Components => String::new(),
            other => format!("{}: ", other.word()),
        };
        format!("| {} | `{}` | {place}{} |\n", keys.join(" "), entry.id, entry.help)
    };
    let table = |group: Group| {
        let head = format!("\n#### {}\n\n| key | id | does |\n|---|---|---|\n", group.title());
        let own = ACTIONS.iter().filter(|entry| entry.group == group);
        std::iter::once(head).chain(own.map(line)).collect::<String>()
    };
    Group::ALL.into_iter().map(table).collect()
}

impl Group {
    pub const ALL: [Self; 6] =
        [Self::Acting, Self::Moving, Self::Screens, Self::Choosing, Self::Reading, Self::Other];

    pub fn title(self) -> &'static str {
        match self {
            Self::Acting => "Acting on components",
            Self::Moving => "Moving",
            Self::Screens => "Screens",
            Self::Choosing => "The table",
            Self::Reading => "Details and logs",
            Self::Other => "Other",
        }
    }
}

impl Context {
    /// The word in front of an action's help where it is bound on that screen alone.
    pub fn word(self) -> &'static str {
        match self {
            Self::Everywhere => "",
            Self::Components => "components",
            Self::Details => "details",
            Self::Logs => "logs",
            Self::SupervisorLog => "supervisor log",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_has_the_table_as_it_is() {
        let guide = include_str!("../../docs/console.md");
        let manual = manual();
        assert!(guide.contains(manual.trim()), "docs/console.md should contain:\n{manual}");
    }
}
