//! What is wrong with a registry: every problem with its place, shown as an editor would.
//!
//! [`Problems`] collects while the rooms' parts read; [`Diagnostics`] is what callers get.

use std::{fmt, path::Path, sync::Arc};

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode, ThemeStyles};

use super::source::{Source, Span, spelled_out};

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing can be started with it.
    Error,
    /// It is probably not what was meant; it changes nothing.
    Warning,
}

/// Which text a span belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Text {
    Registry,
    /// The built-in profiles: only a setting can make a problem there.
    BuiltIn,
}

/// A span and the text that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub text: Text,
    pub span: Span,
}

/// A problem while it is being collected.
#[derive(Debug)]
#[must_use = "a problem is told by Problems::push"]
pub(super) struct Problem {
    severity: Severity,
    message: String,
    place: Option<Place>,
    label: String,
    related: Option<(Place, String)>,
    help: Option<String>,
}

impl Problem {
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            place: None,
            label: String::new(),
            related: None,
            help: None,
        }
    }

    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// Where it is, and what stands under the underlined place.
    pub fn at(mut self, place: Place, label: impl Into<String>) -> Self {
        self.place = Some(place);
        self.label = label.into();
        self
    }

    /// A second place that belongs to it.
    pub fn and(mut self, place: Place, label: impl Into<String>) -> Self {
        self.related = Some((place, label.into()));
        self
    }

    /// What to do about it.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// "did you mean …?" where there is a near name, else what was expected.
    pub fn meant(self, nearest: Option<&str>, expected: impl Into<String>) -> Self {
        match nearest {
            Some(nearest) => self.help(format!("did you mean \"{nearest}\"?")),
            None => self.help(expected),
        }
    }
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: Vec<Problem>,
    unlisted: usize,
    errors: usize,
}

impl Problems {
    /// More than anybody reads; a hostile file must not fill the memory with them.
    const MOST: usize = 1000;

    pub fn push(&mut self, problem: Problem) {
        if problem.severity == Severity::Error {
            self.errors += 1;
        }
        if self.list.len() < Self::MOST {
            self.list.push(problem);
        } else {
            self.unlisted += 1;
        }
    }

    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// No more are listed: looking for a near name would be wasted.
    pub fn is_full(&self) -> bool {
        self.list.len() >= Self::MOST
    }

    /// How many there are, of both kinds.
    pub fn count(&self) -> usize {
        self.list.len() + self.unlisted
    }

    /// In the order of the file, with the texts that they are shown in.
    pub fn finish(self, file: &Path, registry: &[u8], built_in: &str) -> Diagnostics {
        if self.list.is_empty() {
            return Diagnostics::default();
        }
        let registry = Arc::new(Source::new(file.display().to_string(), registry));
        let built_in = Arc::new(Source::new("built-in profiles".to_owned(), built_in.as_bytes()));
        let mut list = self.list;
        list.sort_by_key(|problem| problem.place);
        let list = list
            .into_iter()
            .map(|problem| {
                let of = |place: Place| match place.text {
                    Text::Registry => &registry,
                    Text::BuiltIn => &built_in,
                };
                Diagnostic::new(problem, of)
            })
            .collect();
        Diagnostics { list, unlisted: self.unlisted, unlisted_errors: self.errors }.with_counts()
    }
}

/// One problem.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    severity: Severity,
    message: String,
    help: Option<String>,
    shown: Option<Shown>,
}

#[derive(Debug, Clone)]
struct Shown {
    source: Arc<Source>,
    line: usize,
    column: usize,
    labels: Vec<LabeledSpan>,
}

impl Diagnostic {
    fn new<'a>(problem: Problem, source_of: impl Fn(Place) -> &'a Arc<Source>) -> Self {
        let shown = problem.place.map(|place| {
            let source = Arc::clone(source_of(place));
            let at = source.position(place.span.start as usize);
            let label = (!problem.label.is_empty()).then(|| spelled_out(&problem.label));
            let mut labels =
                vec![LabeledSpan::new_primary_with_span(label, source.on_one_line(place.span))];
            if let Some((related, label)) = &problem.related
                && related.text == place.text
            {
                let span = source.on_one_line(related.span);
                labels.push(LabeledSpan::new_with_span(Some(spelled_out(label)), span));
            }
            Shown { line: at.line, column: at.column, labels, source }
        });
        Self {
            severity: problem.severity,
            message: spelled_out(&problem.message),
            help: problem.help.map(|help| spelled_out(&help)),
            shown,
        }
    }

    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// What is wrong, in one sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// File, line and column (both from 1, columns in characters); `None` where the problem is
    /// not in a file, as with `--set`.
    pub fn place(&self) -> Option<(&str, usize, usize)> {
        self.shown.as_ref().map(|shown| (shown.source.name(), shown.line, shown.column))
    }
}

/// `conf/SupervisorRegistry.xml:12:5: error: …`, the form that editors and logs understand.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((file, line, column)) = self.place() {
            write!(f, "{file}:{line}:{column}: ")?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}

/// Displays the message alone: the drawing around it shows the rest.
struct Drawn<'a>(&'a Diagnostic);

impl fmt::Debug for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Drawn<'_> {}

impl miette::Diagnostic for Drawn<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.0.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.shown.as_ref().map(|shown| &*shown.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let shown = self.0.shown.as_ref()?;
        Some(Box::new(shown.labels.iter().cloned()))
    }
}

/// Every problem of a registry, in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    unlisted: usize,
    unlisted_errors: usize,
}

impl Diagnostics {
    /// Keeps of the number of all errors those that are not in the list.
    fn with_counts(mut self) -> Self {
        self.unlisted_errors -= self.errors().count();
        self
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.iter().filter(|diagnostic| diagnostic.severity == Severity::Error)
    }

    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.iter().filter(|diagnostic| diagnostic.severity == Severity::Warning)
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them, the unlisted ones too.
    pub fn len(&self) -> usize {
        self.list.len() + self.unlisted
    }

    pub fn has_errors(&self) -> bool {
        self.unlisted_errors > 0 || self.errors().next().is_some()
    }

    /// As `check --strict` sees them: warnings are errors.
    #[must_use]
    pub fn strict(mut self) -> Self {
        for diagnostic in &mut self.list {
            diagnostic.severity = Severity::Error;
        }
        self.unlisted_errors = self.unlisted;
        self
    }

    /// All problems as an operator reads them, `width` columns wide, with a count at the end.
    /// Empty where there are none.
    pub fn render(&self, colour: bool, width: usize) -> String {
        let mut theme = GraphicalTheme::unicode_nocolor();
        if colour {
            theme.styles = ThemeStyles::ansi();
        }
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(width.max(40))
            .with_links(false)
            .with_context_lines(1)
            .without_syntax_highlighting();
        let mut text = String::new();
        for diagnostic in &self.list {
            let start = text.len();
            if handler.render_report(&mut text, &Drawn(diagnostic)).is_err() {
                // The drawing failed (it never should): the plain form says the same.
                text.truncate(start);
                text.push_str(&diagnostic.to_string());
            }
            text.truncate(text.trim_end().len());
            text.push_str("\n\n");
        }
        if let Some(summary) = self.summary() {
            text.push_str(&summary);
            text.push('\n');
        }
        text
    }

    /// "2 errors, 1 warning"; `None` where there is nothing to tell.
    pub fn summary(&self) -> Option<String> {
        let count = |number: usize, noun: &str| match number {
            0 => None,
            1 => Some(format!("1 {noun}")),
            _ => Some(format!("{number} {noun}s")),
        };
        let errors = self.errors().count() + self.unlisted_errors;
        let words = [count(errors, "error"), count(self.len() - errors, "warning")];
        let words: Vec<String> = words.into_iter().flatten().collect();
        let unlisted = match self.unlisted {
            0 => String::new(),
            more => format!(" ({more} of them not shown)"),
        };
        (!words.is_empty()).then(|| words.join(", ") + &unlisted)
    }
}

/// One line for each problem.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.list.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{diagnostic}")?;
        }
        match self.unlisted {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for Diagnostics {}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The known name that is nearest to what was written, where one is near enough to be meant.
pub(super) fn nearest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let lower = written.to_lowercase();
    let tolerance = (lower.chars().count() / 3).max(1);
    known
        .into_iter()
        .filter(|name| name.len().abs_diff(lower.len()) <= tolerance)
        .map(|name| (strsim::osa_distance(&lower, &name.to_lowercase()), name))
        .filter(|&(distance, name)| distance <= tolerance && name != written)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}
