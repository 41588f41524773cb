//! Stopping everything from inside the process that has the engine.

use crate::{
    cli::{follow, follow::End, progress, ui::Ui},
    client::Client,
    wire::{Acceptance, Operation, OperationState},
};

/// Asks for the end of everything and shows how it goes, until there is nobody left to ask. The
/// last that was heard.
///
/// Harmless where it was asked for before: the end that is under way is followed.
pub async fn stop_all(ui: &Ui, client: &Client) -> Option<Operation> {
    let operation = match client.shutdown(false).await {
        Ok(
            Acceptance::Applied { operation }
            | Acceptance::Redundant { operation: Some(operation) },
        ) => operation,
        // It ended between two calls; how it ended the engine itself tells.
        Ok(Acceptance::Redundant { operation: None }) | Err(_) => return None,
    };
    match follow::to_its_end(ui, client, operation).await {
        Ok(End::Told(operation)) => Some(operation),
        Ok(End::Silent(last)) => last,
        Err(_unasked) => None,
    }
}

/// The last line, once the engine has ended well; `known` components there were at its start.
pub fn conclude(ui: &Ui, operation: Option<&Operation>, known: usize) {
    let failed = operation.filter(|operation| operation.state == OperationState::Failed);
    if let Some(message) = failed.and_then(progress::failure) {
        ui.note(message);
    }
    // A stop may be done before there was time to look at it.
    ui.line(match operation.map_or(known, |operation| operation.components.len()) {
        0 => "The Supervisor has stopped.".to_owned(),
        1 => "The component and the Supervisor have stopped.".to_owned(),
        number => format!("All {number} components and the Supervisor have stopped."),
    });
}
