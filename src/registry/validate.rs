//! The components as a whole: what no single one of them shows.

use std::collections::HashMap;

use super::{
    Component,
    assemble::Placed,
    diagnostics::{Place, Problem, Problems, nearest},
};
use crate::model::Shared;

/// The components with their dependencies, all known; what is wrong between them is told.
pub(super) fn whole(placed: Vec<Placed>, problems: &mut Problems) -> Vec<Shared<Component>> {
    let mut placed = unique(placed, problems);
    let edges = dependencies(&placed, problems);
    cycles(&placed, &edges, problems);
    for (index, edges) in edges.iter().enumerate() {
        for edge in edges {
            judge(&placed[index].component, &placed[edge.to].component, edge.place, problems);
        }
    }
    shared_logs(&placed, problems);
    for (index, edges) in edges.into_iter().enumerate() {
        let ids = edges.iter().map(|edge| placed[edge.to].component.id.clone()).collect();
        placed[index].component.depends_on = ids;
    }
    let mut components: Vec<Shared<Component>> = Vec::with_capacity(placed.len());
    for one in placed {
        let mut component = one.component;
        if let Some(neighbour) = components.last() {
            share(&mut component, neighbour);
        }
        components.push(Shared::from(component));
    }
    components
}

/// What two components say alike is kept once. Most of a registry's are of one kind, so that it
/// is enough to look at the one before.
fn share(component: &mut Component, other: &Component) {
    fn same<T: PartialEq>(one: &mut Shared<T>, other: &Shared<T>) {
        if *one == *other {
            *one = other.clone();
        }
    }
    same(&mut component.stop, &other.stop);
    same(&mut component.restart, &other.restart);
    same(&mut component.limits, &other.limits);
    if let (Some(one), Some(other)) = (&mut component.ready, &other.ready) {
        same(one, other);
    }
    if let (Some(one), Some(other)) = (&mut component.health, &other.health) {
        same(one, other);
    }
    component.arguments.shrink_to_fit();
    component.output.log.shrink_to_fit();
}

/// `to` is the index of what is depended on.
struct Edge {
    to: usize,
    place: Place,
}

/// Without those whose id another one has already.
fn unique(placed: Vec<Placed>, problems: &mut Problems) -> Vec<Placed> {
    let mut first: HashMap<String, Place> = HashMap::with_capacity(placed.len());
    let mut kept = Vec::with_capacity(placed.len());
    for one in placed {
        let id = one.component.id.to_string();
        if let Some(earlier) = first.get(&id) {
            problems.push(
                Problem::error(format!("the id {id} stands twice"))
                    .at(one.id, "the second one")
                    .and(*earlier, "the first one"),
            );
        } else {
            first.insert(id, one.id);
            kept.push(one);
        }
    }
    kept
}

fn dependencies(placed: &[Placed], problems: &mut Problems) -> Vec<Vec<Edge>> {
    let indices: HashMap<&str, usize> =
        placed.iter().enumerate().map(|(index, one)| (&*one.component.id, index)).collect();
    let mut edges = Vec::with_capacity(placed.len());
    for one in placed {
        let mut found = Vec::with_capacity(one.depends_on.len());
        for (name, place) in &one.depends_on {
            if let Some(&to) = indices.get(name.as_str()) {
                found.push(Edge { to, place: *place });
                continue;
            }
            let ids = placed.iter().map(|other| &*other.component.id);
            let near = if problems.is_full() { None } else { nearest(name, ids) };
            problems.push(
                Problem::error(format!(
                    "{} depends on {name}, which does not exist",
                    one.component.id
                ))
                .at(*place, "no server has this id")
                .meant(near, "expected the id of a server"),
            );
        }
        edges.push(found);
    }
    edges
}

fn judge(component: &Component, needed: &Component, at: Place, problems: &mut Problems) {
    let (id, other) = (&component.id, &needed.id);
    let (mine, its) = (component.start_priority, needed.start_priority);
    if its > mine {
        problems.push(
            Problem::error(format!(
                "{id} (startPriority {mine}) depends on {other}, which starts later (startPriority {its})"
            ))
            .at(at, format!("{id} would wait for {other}, and {other} for {id}"))
            .help(format!("give {id} a startPriority of at least {its}, or {other} one of at most {mine}")),
        );
    }
    if component.enabled && !needed.enabled {
        problems.push(
            Problem::warning(format!("{id} depends on {other}, which is not enabled"))
                .at(at, format!("{id} waits until {other} is started by hand"))
                .help(format!("enable {other}, or set <enabled>false</enabled> for {id} too")),
        );
    }
}

/// "a -> b -> a"; of a very long one its ends.
fn chain(ids: &[&str]) -> String {
    const SHOWN: usize = 8;
    if ids.len() <= 2 * SHOWN {
        return ids.join(" -> ");
    }
    let (first, last) = (&ids[..SHOWN], &ids[ids.len() - SHOWN..]);
    let between = ids.len() - 2 * SHOWN;
    format!("{} -> ({between} more) -> {}", first.join(" -> "), last.join(" -> "))
}

/// Tells each cycle once. Depth first without recursion: chains may be as long as the registry.
fn cycles(placed: &[Placed], edges: &[Vec<Edge>], problems: &mut Problems) {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        OnPath,
        Done,
    }
    let mut marks = vec![Mark::New; placed.len()];
    for start in 0..placed.len() {
        if marks[start] != Mark::New {
            continue;
        }
        // The path from `start`: each node with the number of its edges that were followed.
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        marks[start] = Mark::OnPath;
        while let Some((node, followed)) = path.last_mut() {
            let Some(edge) = edges[*node].get(*followed) else {
                marks[*node] = Mark::Done;
                path.pop();
                continue;
            };
            *followed += 1;
            match marks[edge.to] {
                Mark::New => {
                    marks[edge.to] = Mark::OnPath;
                    path.push((edge.to, 0));
                }
                Mark::OnPath => {
                    let from = path.iter().position(|&(node, _)| node == edge.to).unwrap_or(0);
                    let nodes = path[from..].iter().map(|&(node, _)| node).chain([edge.to]);
                    let ids: Vec<&str> = nodes.map(|node| &*placed[node].component.id).collect();
                    problems.push(
                        Problem::error(format!("components depend on each other: {}", chain(&ids)))
                            .at(edge.place, "leads back to it")
                            .help("remove one of the <dependsOn>: none of them could start"),
                    );
                }
                Mark::Done => {}
            }
        }
    }
}

/// Two writers to one log: lines are torn, and each rotates the other's files away.
fn shared_logs(placed: &[Placed], problems: &mut Problems) {
    let mut first: HashMap<&std::path::Path, &Placed> = HashMap::with_capacity(placed.len());
    for one in placed {
        let log = one.component.output.log.as_path();
        if let Some(other) = first.get(log) {
            let (id, writer) = (&one.component.id, &other.component.id);
            problems.push(
                Problem::warning(format!("{id} writes to the same log as {writer}"))
                    .at(one.id, format!("also {}", log.display()))
                    .and(other.id, "the first one")
                    .help("give each its own <output><log>"),
            );
        } else {
            first.insert(log, one);
        }
    }
}
