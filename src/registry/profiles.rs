//! Profiles: the built-in ones and those of the registry, each decoded once, and what each
//! stands for when its `extends` are followed.

use std::collections::BTreeMap;

use super::{
    decode::Decoder,
    diagnostics::{Place, Problem, Problems, Text as Of, nearest},
    part::{self, Part},
    tree::Element,
};

/// The built-in profiles, in the form of a registry's `<profiles>`.
pub(super) const BUILT_IN: &str = include_str!("../../assets/profiles.xml");

/// Longest chain of `extends`.
const MAX_CHAIN: usize = 32;

pub(super) struct Profiles {
    list: Vec<Profile>,
    registry: BTreeMap<String, usize>,
    built_in: BTreeMap<String, usize>,
    /// For each profile of the list: what it stands for.
    lineages: Vec<Lineage>,
}

struct Profile {
    id: String,
    extends: Vec<(String, Place)>,
    part: Part,
}

/// A profile with all that it extends, in the order in which they count: each once, what is
/// extended before what extends it.
#[derive(Debug, Clone, Default)]
struct Lineage {
    members: Vec<usize>,
    /// One of them is missing or a cycle, which has been told.
    broken: bool,
}

impl Profiles {
    pub fn read(root: &Element<'_>, built_in: &Element<'_>, decoder: &mut Decoder<'_>) -> Self {
        let mut profiles = Self {
            list: Vec::new(),
            registry: BTreeMap::new(),
            built_in: BTreeMap::new(),
            lineages: Vec::new(),
        };
        let sections = root.children_named("profiles");
        for element in sections.flat_map(|section| section.children_named("profile")) {
            profiles.add(element, Of::Registry, decoder);
        }
        for element in built_in.children_named("profile") {
            profiles.add(element, Of::BuiltIn, decoder);
        }
        profiles.follow_extends(decoder.problems);
        profiles
    }

    fn add(&mut self, element: &Element<'_>, of: Of, decoder: &mut Decoder<'_>) {
        // Without an id it cannot be used, but what is wrong in it can be told.
        let id = decoder.attribute(element, "id", of);
        let extends = element
            .children_named("extends")
            .filter_map(|extends| decoder.attribute(extends, "ref", of))
            .map(|reference| (reference.text, reference.place))
            .collect();
        let part = part::decode(element, of, decoder);
        let Some(id) = id else { return };
        if id.text.is_empty() {
            decoder
                .problems
                .push(Problem::error("the profile's id is empty").at(id.place, "expected a name"));
            return;
        }
        let names = match of {
            Of::Registry => &mut self.registry,
            Of::BuiltIn => &mut self.built_in,
        };
        if names.contains_key(&id.text) {
            let message = format!("the profile {} stands twice", id.text);
            decoder.problems.push(
                Problem::error(message)
                    .at(id.place, "the second one")
                    .help("a profile of the registry can replace a built-in one, not another one"),
            );
            return;
        }
        names.insert(id.text.clone(), self.list.len());
        self.list.push(Profile { id: id.text, extends, part });
    }

    /// The profile of that name, as `by` would mean it: a profile that extends its own name
    /// extends the built-in one that it replaces.
    fn find(&self, name: &str, by: Option<usize>) -> Option<usize> {
        let registry = self.registry.get(name).copied();
        let built_in = self.built_in.get(name).copied();
        match by {
            Some(by) if registry == Some(by) => built_in.or(registry),
            _ => registry.or(built_in),
        }
    }

    fn unknown(&self, name: &str, at: Place) -> Problem {
        let names = || self.registry.keys().chain(self.built_in.keys()).map(String::as_str);
        let mut all: Vec<&str> = names().collect();
        all.sort_unstable();
        all.dedup();
        Problem::error(format!("there is no profile {name}"))
            .at(at, "unknown")
            .meant(nearest(name, names()), format!("known are {}", all.join(", ")))
    }

    fn follow_extends(&mut self, problems: &mut Problems) {
        let mut lineages: Vec<Option<Lineage>> = vec![None; self.list.len()];
        for index in 0..self.list.len() {
            self.lineage(index, &mut Vec::new(), &mut lineages, problems);
        }
        self.lineages = lineages.into_iter().map(Option::unwrap_or_default).collect();
    }

    fn lineage(
        &self,
        index: usize,
        chain: &mut Vec<usize>,
        done: &mut Vec<Option<Lineage>>,
        problems: &mut Problems,
    ) -> Lineage {
        if let Some(lineage) = &done[index] {
            return lineage.clone();
        }
        chain.push(index);
        let mut lineage = Lineage::default();
        for (name, place) in &self.list[index].extends {
            let extended = match self.find(name, Some(index)) {
                None => {
                    problems.push(self.unknown(name, *place));
                    None
                }
                Some(next) if chain.contains(&next) => {
                    problems.push(self.cycle(next, chain, *place));
                    None
                }
                Some(_) if chain.len() >= MAX_CHAIN => {
                    let message = format!("profiles extend each other more than {MAX_CHAIN} deep");
                    problems.push(Problem::error(message).at(*place, "one too deep"));
                    None
                }
                Some(next) => Some(self.lineage(next, chain, done, problems)),
            };
            match extended {
                Some(extended) => {
                    lineage.broken |= extended.broken;
                    for member in extended.members {
                        if !lineage.members.contains(&member) {
                            lineage.members.push(member);
                        }
                    }
                }
                None => lineage.broken = true,
            }
        }
        chain.pop();
        lineage.members.push(index);
        done[index] = Some(lineage.clone());
        lineage
    }

    fn cycle(&self, back_to: usize, chain: &[usize], at: Place) -> Problem {
        let start = chain.iter().position(|&link| link == back_to).unwrap_or(0);
        let links = chain[start..].iter().chain([&back_to]);
        let names: Vec<&str> = links.map(|&link| self.list[link].id.as_str()).collect();
        Problem::error(format!("profiles extend each other: {}", names.join(" -> ")))
            .at(at, "leads back to it")
            .help("remove one of the <extends>")
    }

    /// The parts that a server's references stand for, in the order in which they count; and
    /// whether all could be found.
    pub fn parts<'p>(
        &'p self,
        references: &[(String, Place)],
        problems: &mut Problems,
    ) -> (Vec<&'p Part>, bool) {
        let mut members: Vec<usize> = Vec::new();
        let mut whole = true;
        for (name, place) in references {
            let Some(index) = self.find(name, None) else {
                problems.push(self.unknown(name, *place));
                whole = false;
                continue;
            };
            whole &= !self.lineages[index].broken;
            for &member in &self.lineages[index].members {
                if !members.contains(&member) {
                    members.push(member);
                }
            }
        }
        (members.into_iter().map(|member| &self.list[member].part).collect(), whole)
    }
}
