//! What a check found, in the words of an operator.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Ok,
    /// Worth knowing; nothing has to be done.
    Note,
    /// It works, and may stop to, or does less than was asked for.
    Warning,
    /// Something does not work, or will not at the next start.
    Problem,
}

/// What a check is about. In the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    Installation,
    Supervisor,
    Permissions,
    Containment,
    Limits,
    Ports,
    State,
    Storage,
    Service,
    Clock,
}

/// One thing that was looked at. Serialised it is what `doctor --json` promises: fields are added,
/// never renamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub group: Group,
    /// The check's name; never renamed.
    pub check: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// Why it matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

impl Group {
    pub const ALL: [Self; 10] = [
        Self::Installation,
        Self::Supervisor,
        Self::Permissions,
        Self::Containment,
        Self::Limits,
        Self::Ports,
        Self::State,
        Self::Storage,
        Self::Service,
        Self::Clock,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Installation => "Installation",
            Self::Supervisor => "Supervisor",
            Self::Permissions => "Permissions",
            Self::Containment => "Containment",
            Self::Limits => "Limits",
            Self::Ports => "Ports",
            Self::State => "State",
            Self::Storage => "Storage",
            Self::Service => "Service",
            Self::Clock => "Clock",
        }
    }
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, seen: impl Into<String>) -> Self {
        Self {
            // Whoever notes it down knows better.
            group: Group::Installation,
            check,
            component: None,
            verdict,
            seen: seen.into(),
            why: None,
            advice: None,
        }
    }

    pub(super) fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, seen)
    }

    pub(super) fn note(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(check, Verdict::Note, seen)
    }

    pub(super) fn warning(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warning, seen)
    }

    pub(super) fn problem(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(check, Verdict::Problem, seen)
    }

    pub(super) fn of(mut self, component: impl Into<String>) -> Self {
        self.component = Some(component.into());
        self
    }

    pub(super) fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    pub(super) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}
