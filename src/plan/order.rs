//! The order of starts; stops go the other way.

use std::collections::{BTreeMap, HashMap};

use crate::{
    model::{ComponentId, Shared},
    registry::Component,
};

/// The components in stages: each stage starts when the one before is running.
///
/// A lower priority comes first; within a priority a component comes after those it depends on.
/// Components of one stage start together, in the order of the registry. The registry's
/// validation has refused cycles and dependencies on a later priority; were there one, its
/// members would share a stage.
pub fn start_stages(components: &[Shared<Component>]) -> Vec<Vec<ComponentId>> {
    let by_id: HashMap<&ComponentId, &Component> =
        components.iter().map(|component| (&component.id, &**component)).collect();
    let mut depths = HashMap::with_capacity(components.len());
    let mut stages: BTreeMap<(i32, usize), Vec<ComponentId>> = BTreeMap::new();
    for component in components {
        let depth = depth_of(component, &by_id, &mut depths);
        let stage = stages.entry((component.start_priority, depth)).or_default();
        stage.push(component.id.clone());
    }
    stages.into_values().collect()
}

/// How many components of the same priority have to be running before this one, in a row.
fn depth_of<'a>(
    component: &'a Component,
    by_id: &HashMap<&'a ComponentId, &'a Component>,
    depths: &mut HashMap<&'a ComponentId, usize>,
) -> usize {
    if let Some(&depth) = depths.get(&component.id) {
        return depth;
    }
    depths.insert(&component.id, 0); // Ends a cycle, should there be one.
    let same_priority = component
        .depends_on
        .iter()
        .filter_map(|id| by_id.get(id).copied())
        .filter(|other| other.start_priority == component.start_priority);
    let mut depth = 0;
    for other in same_priority {
        depth = depth.max(1 + depth_of(other, by_id, depths));
    }
    depths.insert(&component.id, depth);
    depth
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(id: &str, priority: i32, depends_on: &[&str]) -> Component {
        let id = ComponentId::new(id).expect("a good id");
        let mut component = Component::new(id, "/bin/true");
        component.start_priority = priority;
        component.depends_on =
            depends_on.iter().map(|id| ComponentId::new(id).expect("a good id")).collect();
        component
    }

    #[test]
    fn priorities_first_then_dependencies_then_the_order_of_the_file() {
        let components = [
            component("ps", 2, &["is"]),
            component("svg", 1, &[]),
            component("thumb", 2, &["ps"]),
            component("is", 1, &[]),
        ];
        let stages: Vec<Vec<String>> = start_stages(&components.map(Shared::from))
            .into_iter()
            .map(|stage| stage.into_iter().map(String::from).collect())
            .collect();
        assert_eq!(stages, [vec!["svg", "is"], vec!["ps"], vec!["thumb"]]);
    }
}
