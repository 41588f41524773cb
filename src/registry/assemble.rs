//! `<servers>`: each server merged with its profiles into a component.
//!
//! Arguments and operands add up; variables are merged by name; dependencies too. Of everything
//! else the server's own counts, whole, and then that of the last profile that has it: a server
//! with `<restart policy="never"/>` takes nothing from a profile's `<restart>`.

use std::path::PathBuf;

use super::{
    Component, Output, StopPolicy,
    decode::Decoder,
    diagnostics::{Place, Problem, Text as Of},
    part::{self, Part},
    profiles::Profiles,
    tree::Element,
};
use crate::model::{ComponentId, Shared};

/// A component, and the places that are needed to judge it among the others.
pub(super) struct Placed {
    pub component: Component,
    pub id: Place,
    /// As written: they may name nobody.
    pub depends_on: Vec<(String, Place)>,
}

pub(super) fn components(
    root: &Element<'_>,
    profiles: &Profiles,
    decoder: &mut Decoder<'_>,
) -> Vec<Placed> {
    let sections = root.children_named("servers");
    sections
        .flat_map(|section| section.children_named("server"))
        .filter_map(|element| server(element, profiles, decoder))
        .collect()
}

fn server(element: &Element<'_>, profiles: &Profiles, decoder: &mut Decoder<'_>) -> Option<Placed> {
    let of = Of::Registry;
    let given_id = decoder.attribute(element, "id", of);
    let references: Vec<(String, Place)> = element
        .children_named("profile")
        .filter_map(|profile| decoder.attribute(profile, "ref", of))
        .map(|reference| (reference.text, reference.place))
        .collect();
    // A reference that has no name, or whose setting has no value, has been told.
    let all_named = references.len() == element.children_named("profile").count();
    let own = part::decode(element, of, decoder);
    let (mut parts, found) = profiles.parts(&references, decoder.problems);
    parts.push(&own);

    let given_id = given_id?;
    let id = match ComponentId::new(&given_id.text) {
        Ok(id) => id,
        Err(error) => {
            decoder.problems.push(
                Problem::error(error.to_string())
                    .at(given_id.place, "no id of a component")
                    .help("it is used in file names and addresses"),
            );
            return None;
        }
    };
    let executable = last(&parts, |part| part.executable.as_ref());
    if executable.is_none() && found && all_named && !parts.iter().any(|part| part.names_executable)
    {
        let place = Place { text: of, span: element.name_span };
        decoder.problems.push(
            Problem::error(format!("the server {id} has no executable"))
                .at(place, "expected <executable>, or a <profile> that has one")
                .help("of the built-in profiles ImageServer32, ImageServer64, Java32 and Java64 have one"),
        );
    }
    let executable = PathBuf::from(executable.map_or("", String::as_str));
    Some(Placed {
        id: given_id.place,
        depends_on: dependencies(&parts),
        component: merged(id, executable, &parts, decoder),
    })
}

/// The value of the last part that has one: the server's own is the last.
fn last<'p, T>(parts: &[&'p Part], field: impl Fn(&'p Part) -> Option<T>) -> Option<T> {
    parts.iter().rev().find_map(|part| field(part))
}

fn merged(
    id: ComponentId,
    executable: PathBuf,
    parts: &[&Part],
    decoder: &Decoder<'_>,
) -> Component {
    let folder = decoder.install_folder;
    let mut component = Component::new(id, executable);
    component.description = last(parts, |part| part.description.clone()).unwrap_or_default();
    let arguments = parts.iter().flat_map(|part| &part.arguments);
    component.arguments =
        arguments.chain(parts.iter().flat_map(|part| &part.operands)).cloned().collect();
    component.working_directory =
        last(parts, |part| part.working_directory.clone()).unwrap_or_else(|| folder.to_owned());
    for part in parts {
        let variables = part.environment.iter();
        component.environment.extend(variables.map(|(name, value)| (name.clone(), value.clone())));
    }
    component.environment_file = last(parts, |part| part.environment_file.clone());
    component.start_priority =
        last(parts, |part| part.start_priority).unwrap_or(component.start_priority);
    component.start_delay = last(parts, |part| part.start_delay).unwrap_or(component.start_delay);
    component.stop = stop(parts).into();
    component.enabled = last(parts, |part| part.enabled).unwrap_or(component.enabled);
    component.restart = last(parts, |part| part.restart.clone()).unwrap_or(component.restart);
    component.ready = last(parts, |part| part.ready.clone());
    component.health = last(parts, |part| part.health.clone());
    component.limits = last(parts, |part| part.limits.clone()).unwrap_or_default();
    component.user = last(parts, |part| part.user.clone());
    component.group = last(parts, |part| part.group.clone());
    component.umask = last(parts, |part| part.umask);
    let output = last(parts, |part| part.output.as_ref());
    let usual_log = || folder.join(format!("logs/{}.log", component.id));
    component.output = Shared::from(match output {
        Some(given) => {
            Output { log: given.log.clone().unwrap_or_else(usual_log), ..given.output.clone() }
        }
        None => Output { log: usual_log(), ..Output::usual() },
    });
    component
}

/// Signal and command are two ways to do one thing: the one that is said nearest counts, so that
/// a server's signal is not silenced by a profile's command.
fn stop(parts: &[&Part]) -> StopPolicy {
    let usual = StopPolicy::default();
    let way =
        parts.iter().rev().find(|part| part.stop_command.is_some() || part.stop_signal.is_some());
    StopPolicy {
        timeout: last(parts, |part| part.stop_timeout).unwrap_or(usual.timeout),
        signal: last(parts, |part| part.stop_signal).unwrap_or(usual.signal),
        command: way.and_then(|part| part.stop_command.clone()),
    }
}

fn dependencies(parts: &[&Part]) -> Vec<(String, Place)> {
    let mut all: Vec<(String, Place)> = Vec::new();
    for (id, place) in parts.iter().flat_map(|part| &part.depends_on) {
        if all.iter().all(|(known, _)| known != id) {
            all.push((id.clone(), *place));
        }
    }
    all
}
