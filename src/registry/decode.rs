//! Typed reading of texts and attributes: tokens replaced, ranges checked, problems told.

mod values;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use super::{
    diagnostics::{Place, Problem, Problems, Text as Of, nearest},
    settings::Settings,
    tree::{Element, Value},
};

pub(super) use values::{
    Expected, Outcome, boolean, cores, integer, octal, seconds, size, status_codes, success_codes,
    word,
};

/// Decodes elements; holds what that needs.
pub(super) struct Decoder<'a> {
    pub settings: Settings<'a>,
    pub problems: &'a mut Problems,
    pub install_folder: &'a Path,
    /// Regular expressions that were found valid: the same one often stands many times.
    pub patterns: HashSet<String>,
}

/// A value with its tokens replaced, its place, and its name for messages.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub text: String,
    pub place: Place,
    /// `<startDelay>`, or `<tcp port>` for an attribute.
    pub name: String,
}

impl<'a> Decoder<'a> {
    pub fn new(
        settings: Settings<'a>,
        install_folder: &'a Path,
        problems: &'a mut Problems,
    ) -> Self {
        Self { settings, problems, install_folder, patterns: HashSet::new() }
    }

    fn given(&mut self, value: &Value<'_>, of: Of, name: String) -> Option<Given> {
        let text = self.settings.expand(value, of, self.problems)?.into_owned();
        Some(Given { text, place: Place { text: of, span: value.span }, name })
    }

    /// The text of an element; its name's place where it is empty, so that there is one.
    pub fn text(&mut self, element: &Element<'_>, of: Of) -> Option<Given> {
        let mut value = element.text.trimmed();
        if value.text.is_empty() {
            value.span = element.name_span;
        }
        self.given(&value, of, format!("<{}>", element.name))
    }

    pub fn attribute(&mut self, element: &Element<'_>, name: &str, of: Of) -> Option<Given> {
        let attribute = element.attribute(name)?;
        self.given(&attribute.value, of, format!("<{} {name}>", element.name))
    }

    /// The text of the child of that name.
    pub fn child(&mut self, element: &Element<'_>, name: &str, of: Of) -> Option<Given> {
        self.text(element.child(name)?, of)
    }

    /// What `read` makes of the value; where it cannot, that is told.
    pub fn read<T>(
        &mut self,
        given: Option<Given>,
        read: impl Fn(&str) -> Outcome<T>,
    ) -> Option<T> {
        let given = given?;
        match read(&given.text) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.refuse(&given, expected);
                None
            }
        }
    }

    pub fn refuse(&mut self, given: &Given, expected: Expected) {
        let Given { text, place, name } = given;
        let message = if text.is_empty() {
            format!("{name} is empty")
        } else {
            format!("{name} cannot be \"{}\"", shortened(text))
        };
        let problem = Problem::error(message).at(*place, expected.label);
        self.problems.push(match (expected.known, expected.help) {
            (Some(known), _) => {
                let known = known.iter().map(String::as_str);
                match nearest(text, known) {
                    Some(near) => problem.meant(Some(near), ""),
                    None => problem,
                }
            }
            (None, Some(help)) => problem.help(help),
            (None, None) => problem,
        });
    }

    /// Text that is not empty.
    pub fn words(&mut self, given: Option<Given>) -> Option<String> {
        self.read(given, |text| match text {
            "" => Err(Expected::label("expected a text")),
            text => Ok(text.to_owned()),
        })
    }

    /// A path; a relative one is joined to the install folder.
    pub fn path(&mut self, given: Option<Given>) -> Option<PathBuf> {
        let folder = self.install_folder;
        self.read(given, |text| match text {
            "" => Err(Expected::label("expected a path")),
            text => Ok(folder.join(text)),
        })
    }

    /// A program: a bare name stays as it is, to be found on `PATH`.
    pub fn program(&mut self, given: Option<Given>) -> Option<String> {
        let text = self.words(given)?;
        Some(self.rooted(text))
    }

    fn rooted(&self, program: String) -> String {
        if program.contains(std::path::is_separator) {
            self.install_folder.join(program).display().to_string()
        } else {
            program
        }
    }

    /// The `<argument>`s of an element, in order. An empty one is an argument too.
    pub fn arguments(&mut self, element: &Element<'_>, of: Of) -> Vec<String> {
        let mut arguments = Vec::with_capacity(element.children.len());
        for argument in element.children_named("argument") {
            arguments.extend(self.text(argument, of).map(|given| given.text));
        }
        arguments
    }

    /// A command of its own: program and arguments.
    pub fn command(&mut self, element: &Element<'_>, of: Of) -> Option<Vec<String>> {
        let mut words = self.arguments(element, of);
        match words.first_mut() {
            Some(program) if !program.is_empty() => {
                *program = self.rooted(std::mem::take(program));
                Some(words)
            }
            _ => {
                let place = Place { text: of, span: element.name_span };
                if element.child("argument").is_none() || !words.is_empty() {
                    self.problems.push(
                        Problem::error(format!("<{}> has no command", element.name))
                            .at(place, "expected <argument>PROGRAM</argument> in it"),
                    );
                }
                None
            }
        }
    }
}

/// Long values are cut in messages; the file shows them.
pub(super) fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
