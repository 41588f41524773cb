//! `kill`: the whole process tree of components, at once.

use crate::{
    cli::{Context, exit::Failure, follow},
    wire::Verb,
};

pub async fn perform(context: &Context, ids: &[String]) -> Result<(), Failure> {
    let client = context.place.client()?;
    follow::command(context, &client, Verb::Kill, ids).await
}
