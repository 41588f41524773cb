//! Settings: what `XX::name` and `${NAME}` in the registry stand for.
//!
//! | written | becomes |
//! |---|---|
//! | `SV::name` | the setting: `--set`, else the environment's `SV__name`, else `<settings>`, else the default |
//! | `${SV::name}` | the same, where letters or digits follow |
//! | `${NAME}` | the environment's `NAME`; an error where it has none |
//! | `${NAME:-text}` | the same, or `text` where it is missing or empty |
//! | `${NAME:+text}` | `text` where it is there and not empty, else nothing |
//! | `$${` | `${` as it is |
//!
//! Values from `--set` and the environment are taken as they are; the others may hold tokens.

mod documented;
mod token;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
    path::Path,
};

use super::{
    Sources,
    diagnostics::{Place, Problem, Problems, Text as Of, nearest},
    source::Span,
    tree::{Element, Value},
};
use token::{Operator, Token};

/// The values in force, and which of them were used.
pub(super) struct Settings<'a> {
    sources: &'a Sources,
    install_folder: &'a Path,
    /// `<settings>` of the registry.
    given: BTreeMap<String, Given<'a>>,
    resolved: HashMap<String, Resolved>,
    used: BTreeSet<String>,
}

/// A `<setting>`.
struct Given<'a> {
    value: Value<'a>,
    name: Place,
}

#[derive(Debug, Clone, PartialEq)]
enum Resolved {
    Value(String),
    /// What is wrong has been told.
    Broken,
    Unknown,
}

/// The place of a part of the text that is being expanded.
type PlaceOf<'p> = dyn Fn(Range<usize>) -> Place + 'p;

/// Deepest nesting of `${A:-${B:-…}}`.
const MAX_NESTING: usize = 16;

impl<'a> Settings<'a> {
    /// Reads `<settings>`, and checks what was given from all sources.
    pub fn new(
        root: &'a Element<'_>,
        sources: &'a Sources,
        install_folder: &'a Path,
        problems: &mut Problems,
    ) -> Self {
        let mut settings = Self {
            sources,
            install_folder,
            given: BTreeMap::new(),
            resolved: HashMap::new(),
            used: BTreeSet::new(),
        };
        let sections = root.children_named("settings");
        for element in sections.flat_map(|section| section.children_named("setting")) {
            settings.give(element, problems);
        }
        settings.check_overrides(problems);
        settings.check_documented(problems);
        settings
    }

    fn give(&mut self, element: &'a Element<'_>, problems: &mut Problems) {
        let place = |span| Place { text: Of::Registry, span };
        // A missing name is told by the vocabulary.
        let Some(attribute) = element.attribute("name") else { return };
        let name = &*attribute.value.text;
        let at = place(attribute.value.span);
        if !token::is_setting_name(name) {
            problems.push(
                Problem::error(format!("\"{name}\" cannot be the name of a setting"))
                    .at(at, "expected two or three capitals, ::, a name")
                    .help("for example SV::PsHeapSize"),
            );
        } else if let Some(first) = self.given.get(name) {
            problems.push(
                Problem::error(format!("the setting {name} stands twice"))
                    .at(at, "the second one")
                    .and(first.name, "the first one"),
            );
        } else {
            let value = element.text.trimmed();
            self.given.insert(name.to_owned(), Given { value, name: at });
        }
    }

    fn check_overrides(&self, problems: &mut Problems) {
        for (name, value) in &self.sources.overrides {
            if !token::is_setting_name(name) {
                problems.push(
                    Problem::error(format!("--set {name}={value}: this is no name of a setting"))
                        .help(
                            "expected two or three capitals, ::, a name: --set SV::PsHeapSize=1g",
                        ),
                );
            }
        }
    }

    /// The documented settings have valid values, wherever those came from.
    fn check_documented(&mut self, problems: &mut Problems) {
        for setting in documented::SETTINGS {
            let Resolved::Value(value) = self.resolve(setting.name, &mut Vec::new(), problems)
            else {
                continue;
            };
            let Err(expected) = setting.check(&value) else { continue };
            let name = setting.name;
            let problem = if self.overridden(name).is_some() {
                Problem::error(format!("--set {name}={value}: not valid")).help(expected)
            } else if self.sources.environment.contains_key(&token::variable_of(name)) {
                let variable = token::variable_of(name);
                Problem::error(format!("the environment's {variable} cannot be \"{value}\""))
                    .help(expected)
            } else if let Some(given) = self.given.get(name) {
                let place = Place { text: Of::Registry, span: given.value.span };
                Problem::error(format!("{name} cannot be \"{value}\"")).at(place, expected)
            } else {
                continue;
            };
            problems.push(problem);
        }
    }

    /// Tells of settings that were given and that nothing uses: most likely misspelt.
    pub fn tell_unused(&self, problems: &mut Problems) {
        let known = || documented::SETTINGS.iter().map(|setting| setting.name);
        let unused =
            |name: &str| !self.used.contains(name) && !known().any(|documented| documented == name);
        for (name, given) in self.given.iter().filter(|(name, _)| unused(name)) {
            problems.push(
                Problem::warning(format!("the setting {name} is used nowhere"))
                    .at(given.name, "used nowhere")
                    .meant(nearest(name, known()), format!("write {name} where its value belongs")),
            );
        }
        for (name, value) in self.sources.overrides.iter().filter(|(name, _)| unused(name)) {
            if token::is_setting_name(name) {
                let names = known().chain(self.used.iter().map(String::as_str));
                problems.push(
                    Problem::warning(format!("--set {name}={value}: the registry does not use it"))
                        .meant(nearest(name, names), "look up the name in the registry"),
                );
            }
        }
    }

    /// The value with its tokens replaced; `None` where one has no value, which has been told.
    pub fn expand<'t>(
        &mut self,
        value: &'t Value<'_>,
        of: Of,
        problems: &mut Problems,
    ) -> Option<Cow<'t, str>> {
        if !token::may_be_in(&value.text) {
            return Some(Cow::Borrowed(&value.text));
        }
        let place = |part: Range<usize>| Place { text: of, span: value.span_of(part) };
        let mut chain = Vec::new();
        self.expand_text(&value.text, 0, &place, &mut chain, problems).map(Cow::Owned)
    }

    /// `text` begins `offset` bytes into what `place` knows; `chain` are the settings whose
    /// values are being expanded.
    fn expand_text(
        &mut self,
        text: &str,
        offset: usize,
        place: &dyn Fn(Range<usize>) -> Place,
        chain: &mut Vec<String>,
        problems: &mut Problems,
    ) -> Option<String> {
        let mut expanded = String::with_capacity(text.len());
        let mut complete = true;
        let mut rest = 0;
        while let Some((token, range)) = token::next(text, rest, |name| self.knows(name)) {
            expanded.push_str(&text[rest..range.start]);
            rest = range.end;
            let at = || place(offset + range.start..offset + range.end);
            let value = match token {
                Token::Literal(literal) => Some(literal.to_owned()),
                Token::Malformed(why) => {
                    let shown = &text[range.clone()];
                    problems.push(
                        Problem::error(format!("{shown} cannot be understood"))
                            .at(at(), why)
                            .help("a ${ that is meant as it stands is written $${"),
                    );
                    None
                }
                Token::Setting(name) => match self.resolve(name, chain, problems) {
                    Resolved::Value(value) => Some(value),
                    Resolved::Broken => None,
                    Resolved::Unknown => {
                        problems.push(self.unknown_setting(name, at()));
                        None
                    }
                },
                Token::Variable { name, operator, word } => {
                    let word_at = offset + word.start;
                    let word = &text[word];
                    let value = self.sources.environment.get(name);
                    let is_there = value.is_some_and(|value| !value.is_empty());
                    let nested = chain.len() >= MAX_NESTING;
                    match (operator, value) {
                        (Operator::None, Some(value)) => Some(value.clone()),
                        (Operator::None, None) => {
                            problems.push(self.unknown_variable(name, at()));
                            None
                        }
                        (Operator::Default, Some(value)) if is_there => Some(value.clone()),
                        (Operator::Alternative, _) if !is_there => Some(String::new()),
                        _ if nested => {
                            problems.push(
                                Problem::error("${…} is nested too deep").at(at(), "too deep"),
                            );
                            None
                        }
                        _ => {
                            chain.push(String::new());
                            let value = self.expand_text(word, word_at, place, chain, problems);
                            chain.pop();
                            value
                        }
                    }
                }
            };
            match value {
                Some(value) => expanded.push_str(&value),
                None => complete = false,
            }
        }
        expanded.push_str(&text[rest..]);
        complete.then_some(expanded)
    }

    fn overridden(&self, name: &str) -> Option<&'a String> {
        // The last one wins, as with any option.
        self.sources.overrides.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn knows(&self, name: &str) -> token::Known {
        let known = self.overridden(name).is_some()
            || self.given.contains_key(name)
            || documented::find(name).is_some()
            || self.sources.environment.contains_key(&token::variable_of(name));
        if known {
            return token::Known::Name;
        }
        let namespace = token::namespace(name);
        let mut names = self
            .given
            .keys()
            .map(String::as_str)
            .chain(documented::SETTINGS.iter().map(|setting| setting.name));
        if names.any(|name| token::namespace(name) == namespace) {
            token::Known::Namespace
        } else {
            token::Known::Not
        }
    }

    fn resolve(
        &mut self,
        name: &str,
        chain: &mut Vec<String>,
        problems: &mut Problems,
    ) -> Resolved {
        self.used.insert(name.to_owned());
        if let Some(resolved) = self.resolved.get(name) {
            return resolved.clone();
        }
        let plain = self
            .overridden(name)
            .or_else(|| self.sources.environment.get(&token::variable_of(name)))
            .cloned();
        let mut resolved = match plain {
            Some(value) => Resolved::Value(value),
            None => self.resolve_given(name, chain, problems),
        };
        if let Resolved::Value(value) = &mut resolved
            && documented::find(name).is_some_and(|setting| setting.absolute)
        {
            *value = self.install_folder.join(&*value).display().to_string();
        }
        if resolved != Resolved::Unknown {
            self.resolved.insert(name.to_owned(), resolved.clone());
        }
        resolved
    }

    fn resolve_given(
        &mut self,
        name: &str,
        chain: &mut Vec<String>,
        problems: &mut Problems,
    ) -> Resolved {
        let given = self.given.get(name).map(|given| (given.value.clone(), given.name));
        if let Some(start) = chain.iter().position(|link| link == name) {
            let mut names: Vec<&str> = chain[start..].iter().map(String::as_str).collect();
            names.retain(|name| !name.is_empty());
            names.push(name);
            let mut problem =
                Problem::error(format!("settings refer to each other: {}", names.join(" -> ")));
            if let Some((value, _)) = given {
                let place = Place { text: Of::Registry, span: value.span };
                problem = problem.at(place, "leads back to itself");
            }
            problems.push(problem.help("give one of them a value of its own"));
            return Resolved::Broken;
        }
        if chain.len() >= MAX_NESTING {
            let mut problem = Problem::error(format!("the value of {name} is nested too deep"));
            if let Some((_, name)) = given {
                problem = problem.at(name, "too deep");
            }
            problems.push(problem);
            return Resolved::Broken;
        }
        let default = documented::find(name).map(|setting| setting.default);
        let (text, place): (String, Box<PlaceOf<'_>>) = match (given, default) {
            (Some((value, _)), _) => {
                let text = value.text.clone().into_owned();
                let at = move |part| Place { text: Of::Registry, span: value.span_of(part) };
                (text, Box::new(at))
            }
            (None, Some(documented::Default::Text(text))) => {
                let at = |_| Place { text: Of::BuiltIn, span: Span::default() };
                (text.to_owned(), Box::new(at))
            }
            (None, Some(documented::Default::InstallFolder)) => {
                return Resolved::Value(self.install_folder.display().to_string());
            }
            (None, None) => return Resolved::Unknown,
        };
        chain.push(name.to_owned());
        let value = self.expand_text(&text, 0, &*place, chain, problems);
        chain.pop();
        value.map_or(Resolved::Broken, Resolved::Value)
    }

    fn unknown_setting(&self, name: &str, at: Place) -> Problem {
        let variables =
            self.sources.environment.keys().filter_map(|variable| token::setting_of(variable));
        let names: Vec<String> = self
            .given
            .keys()
            .cloned()
            .chain(documented::SETTINGS.iter().map(|setting| setting.name.to_owned()))
            .chain(self.sources.overrides.iter().map(|(name, _)| name.clone()))
            .chain(variables)
            .collect();
        let variable = token::variable_of(name);
        Problem::error(format!("the setting {name} has no value")).at(at, "no value").meant(
            nearest(name, names.iter().map(String::as_str)),
            format!(
                "give it in <settings>, by --set {name}=VALUE or in the environment as {variable}"
            ),
        )
    }

    fn unknown_variable(&self, name: &str, at: Place) -> Problem {
        let names = self.sources.environment.keys().map(String::as_str);
        Problem::error(format!("the environment has no {name}")).at(at, "no value").meant(
            nearest(name, names),
            format!("set it before the start, or write ${{{name}:-default}}"),
        )
    }
}
