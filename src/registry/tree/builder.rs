//! From quick-xml's events to the tree, or to what is not well-formed.

use quick_xml::{Reader, events::Event};

use crate::registry::diagnostics::{Place, Problem, Problems, Text as Of};
use crate::registry::source::Span;

use super::{
    Element, MAX_DEPTH, Text, bytes,
    characters::{is_name, is_plain_name, is_space},
    declaration,
    namespaces::Scope,
    references, tag,
};

/// A place in the registry's text. Built-in profiles pass here too, but they are well-formed:
/// a test reads them.
pub(super) fn in_registry(span: Span) -> Place {
    Place { text: Of::Registry, span }
}

/// The root element; `None` where the structure is so wrong that the rest cannot be judged.
///
/// Every problem found goes to `problems`. Problems that leave the structure clear (an unknown
/// entity, say) still give a tree, so that what else is wrong can be told in the same pass.
pub(in crate::registry) fn parse<'s>(
    bytes: &'s [u8],
    problems: &mut Problems,
) -> Option<Element<'s>> {
    let text = bytes::decode(bytes, problems)?;
    bytes::check(text, problems);
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let base = text.len() - body.len();
    if body.starts_with('\u{feff}') {
        // quick-xml would pass over it, and count every place wrongly.
        problems.push(
            Problem::error("the file begins with two byte order marks")
                .at(in_registry(Span::new(base, base + 3)), "the second one"),
        );
        return None;
    }
    let mut builder = Builder {
        body,
        base,
        open: Vec::new(),
        root: None,
        scope: Scope::default(),
        broken: false,
        problems,
    };
    builder.read();
    let Builder { root, broken, .. } = builder;
    if broken { None } else { root }
}

struct Builder<'s, 'p> {
    /// The text after a byte order mark.
    body: &'s str,
    /// Where `body` begins in the file.
    base: usize,
    /// The elements that have begun and not ended.
    open: Vec<Element<'s>>,
    root: Option<Element<'s>>,
    scope: Scope<'s>,
    /// The structure cannot be told.
    broken: bool,
    problems: &'p mut Problems,
}

impl<'s> Builder<'s, '_> {
    fn read(&mut self) {
        let mut reader = Reader::from_str(self.body);
        let config = reader.config_mut();
        // Checked here, with better places and recovery.
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        config.allow_dangling_amp = true;
        let position = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        loop {
            let start = position(reader.buffer_position());
            let event = match reader.read_event() {
                Ok(Event::Eof) => break,
                Ok(event) => event,
                Err(error) => {
                    self.unreadable(start, &error);
                    return;
                }
            };
            let end = position(reader.buffer_position());
            let raw = self.body.get(start..end).unwrap_or_default();
            let span = Span::new(self.base + start, self.base + end);
            if !self.take(&event, raw, span) {
                return;
            }
        }
        self.end_of_file();
    }

    /// One event; `false` where reading on makes no sense.
    fn take(&mut self, event: &Event<'s>, raw: &'s str, span: Span) -> bool {
        match event {
            Event::Start(_) => return self.start_tag(raw, span, false),
            Event::Empty(_) => return self.start_tag(raw, span, true),
            Event::End(_) => self.end_tag(raw, span),
            Event::Text(_) => self.text(raw, span),
            Event::GeneralRef(_) => self.reference(raw, span),
            Event::CData(_) => self.cdata(raw, span),
            Event::Comment(_) => self.comment(raw, span),
            Event::Decl(_) => self.declaration(raw, span),
            Event::PI(_) => self.instruction(raw, span),
            Event::DocType(_) => self.error(
                Problem::error("a document type declaration is not allowed")
                    .at(
                        in_registry(Span::new(span.start as usize, span.start as usize + 9)),
                        "not allowed",
                    )
                    .help("remove it: a registry needs none, and entities are never expanded"),
            ),
            Event::Eof => {}
        }
        true
    }

    fn error(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// An error after which the structure cannot be told.
    fn fatal(&mut self, problem: Problem) {
        self.broken = true;
        self.problems.push(problem);
    }

    fn start_tag(&mut self, raw: &'s str, span: Span, empty: bool) -> bool {
        let tail = if empty { 2 } else { 1 };
        let content = &raw[1..raw.len() - tail];
        let inside = span.within(1, content.len());
        let length = tag::name_length(content);
        let name = &content[..length];
        let name_span = inside.within(0, length);
        if !is_name(name) {
            let shown = if name.is_empty() { span } else { name_span };
            self.fatal(
                Problem::error(format!("\"{name}\" cannot be the name of an element"))
                    .at(in_registry(shown), "expected a letter or _, then letters, digits, . - _")
                    .help("a < that is meant as a character is written &lt;"),
            );
            return true;
        }
        let before = self.problems.count();
        let attributes = tag::attributes(content, length, inside, self.problems);
        if self.problems.count() == before {
            let depth = self.open.len();
            self.scope.enter(depth, (name, name_span), &attributes, self.problems);
        } else if content[length..].contains('<') {
            // Another tag was swallowed by this one: what follows would be misread.
            self.broken = true;
            return false;
        }
        let whole = self.problems.count() == before;
        if self.open.len() >= MAX_DEPTH {
            self.fatal(
                Problem::error(format!("elements are nested more than {MAX_DEPTH} deep"))
                    .at(in_registry(name_span), "one too deep"),
            );
            return false;
        }
        if self.open.is_empty() && self.root.is_some() {
            self.fatal(
                Problem::error(format!("<{name}> stands after the end of the root element"))
                    .at(in_registry(name_span), "a file has one root element"),
            );
        }
        self.open.push(Element {
            name,
            name_span,
            attributes,
            children: Vec::new(),
            text: Text::default(),
            whole,
        });
        if empty {
            self.close();
        }
        true
    }

    /// The innermost open element ends.
    fn close(&mut self) {
        let Some(element) = self.open.pop() else { return };
        self.scope.leave(self.open.len());
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => {
                self.root.get_or_insert(element);
            }
        }
    }

    fn end_tag(&mut self, raw: &'s str, span: Span) {
        let name =
            raw[2..raw.len() - 1].trim_end_matches(|c: char| c.is_ascii() && is_space(c as u8));
        let name_span = span.within(2, name.len());
        let Some(current) = self.open.last() else {
            self.fatal(
                Problem::error(format!("</{name}> ends an element that never began"))
                    .at(in_registry(span), "nothing is open here"),
            );
            return;
        };
        if current.name == name {
            self.close();
            return;
        }
        let (expected, begun) = (current.name, current.name_span);
        let problem = Problem::error(format!("<{expected}> is not ended by </{name}>"))
            .at(in_registry(name_span), format!("expected </{expected}>"))
            .and(in_registry(begun), "begins here");
        self.fatal(problem);
        // With an outer element of that name the end tags between are missing, otherwise the
        // name is misspelt.
        match self.open.iter().rposition(|element| element.name == name) {
            Some(index) => {
                while self.open.len() > index {
                    self.close();
                }
            }
            None => self.close(),
        }
    }

    fn text(&mut self, raw: &'s str, span: Span) {
        if let Some(at) = raw.find("]]>") {
            let problem = Problem::error("]]> cannot stand in text")
                .at(in_registry(span.within(at, 3)), "written ]]&gt;");
            self.error(problem);
        }
        for (at, _) in raw.match_indices('&') {
            self.error(references::bare_ampersand(span.within(at, 1)));
        }
        if let Some(element) = self.open.last_mut() {
            element.text.push(references::line_ends(raw), span, true);
            return;
        }
        let blank = |c: char| c.is_ascii() && is_space(c as u8);
        let stray = raw.trim_matches(blank);
        if !stray.is_empty() {
            let at = raw.len() - raw.trim_start_matches(blank).len();
            self.outside("text", span.within(at, stray.len()));
        }
    }

    fn outside(&mut self, what: &str, span: Span) {
        self.fatal(
            Problem::error(format!("{what} stands outside the root element"))
                .at(in_registry(span), "nothing but comments can stand here"),
        );
    }

    fn reference(&mut self, raw: &'s str, span: Span) {
        let name = &raw[1..raw.len() - 1];
        if self.open.is_empty() {
            self.outside("a reference", span);
            return;
        }
        // A reference cannot hold a space: then the & is a forgotten &amp;.
        let plausible = name.strip_prefix('#').is_some() || is_plain_name(name);
        if !plausible {
            self.error(references::bare_ampersand(span.within(0, 1)));
            return;
        }
        let character = references::resolve(name, span, self.problems);
        if let Some(element) = self.open.last_mut() {
            // An unknown one stays as it stands, so that the text is not taken for empty.
            let text = character.map_or(raw.into(), |character| character.to_string().into());
            element.text.push(text, span, false);
        }
    }

    fn cdata(&mut self, raw: &'s str, span: Span) {
        let Some(content) = raw.strip_prefix("<![CDATA[").and_then(|rest| rest.strip_suffix("]]>"))
        else {
            self.unknown_markup(span);
            return;
        };
        match self.open.last_mut() {
            Some(element) => element.text.push(references::line_ends(content), span, false),
            None => self.outside("a CDATA section", span),
        }
    }

    fn comment(&mut self, raw: &'s str, span: Span) {
        let content = raw.strip_prefix("<!--").and_then(|rest| rest.strip_suffix("-->"));
        let Some(content) = content else {
            self.unknown_markup(span);
            return;
        };
        let doubled =
            content.find("--").or_else(|| content.ends_with('-').then(|| content.len() - 1));
        if let Some(at) = doubled {
            let problem = Problem::error("-- cannot stand in a comment")
                .at(in_registry(span.within("<!--".len() + at, 2)), "expected --> or one hyphen");
            self.error(problem);
        }
    }

    fn declaration(&mut self, raw: &'s str, span: Span) {
        if span.start as usize != self.base {
            self.error(
                Problem::error("the XML declaration does not stand at the start of the file")
                    .at(in_registry(span), "expected before everything else, white space too"),
            );
            return;
        }
        declaration::check(&raw[2..raw.len() - 2], span, self.problems);
    }

    fn instruction(&mut self, raw: &'s str, span: Span) {
        let content = &raw[2..raw.len() - 2];
        let length = content.bytes().position(is_space).unwrap_or(content.len());
        let target = &content[..length];
        if !is_plain_name(target) || target.eq_ignore_ascii_case("xml") {
            self.error(
                Problem::error(format!("\"{target}\" cannot be the name of an instruction")).at(
                    in_registry(span.within(2, length.max(1))),
                    "expected a name other than xml",
                ),
            );
        }
    }

    fn unknown_markup(&mut self, span: Span) {
        self.fatal(
            Problem::error("this is no XML")
                .at(in_registry(span), "expected an element, a comment or a CDATA section"),
        );
    }

    /// quick-xml could not find the end of what begins at `start`.
    fn unreadable(&mut self, start: usize, error: &quick_xml::Error) {
        let rest = self.body.get(start..).unwrap_or_default();
        let at = Span::new(self.base + start, self.base + start + 1);
        let (what, expected) = match rest {
            _ if rest.starts_with("<!--") => ("this comment does not end", "expected -->"),
            _ if rest.starts_with("<![CDATA[") => {
                ("this CDATA section does not end", "expected ]]>")
            }
            _ if rest.starts_with("<?") => ("this instruction does not end", "expected ?>"),
            _ if rest.starts_with("<!") => {
                ("this is no XML", "expected an element, a comment or a CDATA section")
            }
            _ if rest.starts_with('<') => ("this tag does not end", "expected >"),
            _ => {
                let problem = Problem::error(format!("this is no XML: {error}"));
                self.fatal(problem.at(in_registry(at), "cannot read on from here"));
                return;
            }
        };
        let length = rest.find(|c: char| c.is_whitespace()).unwrap_or(rest.len()).clamp(1, 40);
        let span = Span { end: at.start + u32::try_from(length).unwrap_or(1), ..at };
        // A value whose closing quote is missing swallows the rest of the file: its attribute is
        // the place to look at.
        if rest.starts_with('<') && !rest.starts_with("<!") && !rest.starts_with("<?") {
            let before = self.problems.count();
            let content = &rest[1..];
            let inside = Span::new(self.base + start + 1, self.base + self.body.len());
            let _ = tag::attributes(content, tag::name_length(content), inside, self.problems);
            if self.problems.count() > before {
                self.broken = true;
                return;
            }
        }
        self.fatal(Problem::error(what).at(in_registry(span), expected));
    }

    fn end_of_file(&mut self) {
        for element in std::mem::take(&mut self.open).iter().rev() {
            let name = element.name;
            self.fatal(Problem::error(format!("<{name}> does not end")).at(
                in_registry(element.name_span),
                format!("expected </{name}> before the end of the file"),
            ));
        }
        if self.root.is_none() && !self.broken {
            let end = self.base + self.body.len();
            self.fatal(
                Problem::error("the file holds no element")
                    .at(in_registry(Span::new(end, end)), "expected <supervisor>"),
            );
        }
    }
}
