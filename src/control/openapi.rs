//! The description of the API, generated from the routes and the wire types.

use std::sync::OnceLock;

use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};

use super::routes;
use crate::wire::{EventRecord, UpdateMessage};

/// The description as JSON text; `docs/openapi.json` is the same.
#[expect(clippy::missing_panics_doc, reason = "it is the same text for everybody, or no build")]
pub fn document() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let mut text = Description::openapi()
            .to_pretty_json()
            .expect("the description has string keys only, so it is JSON");
        text.push('\n');
        text
    })
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "s7supervisor control API",
        description = "See docs/control-api.md. Errors are RFC 9457 problem objects with a \
            stable `code`; every path may also answer 400, 401, 403, 421 and 503 that way. \
            Fields may be added; none is renamed or removed.",
        license(name = "MIT OR Apache-2.0"),
    ),
    paths(
        routes::status,
        routes::component,
        routes::explain,
        routes::details,
        routes::history,
        routes::metrics,
        routes::component_command,
        routes::command,
        routes::hold,
        routes::release,
        routes::reload,
        routes::shutdown,
        routes::upgrade,
        routes::operation,
        routes::updates,
        routes::events,
        routes::logs,
        routes::component_logs,
        routes::supervisor_logs,
        routes::reopen,
        routes::description,
        routes::health,
        routes::ready,
        routes::live,
    ),
    components(schemas(routes::ComponentVerb, UpdateMessage, EventRecord)),
    modifiers(&Token),
    security(("token" = [])),
    tags(
        (name = "state", description = "What is"),
        (name = "commands", description = "What changes something"),
        (name = "logs", description = "What components wrote"),
        (name = "probes", description = "For load balancers and orchestrators; no token"),
    ),
)]
struct Description;

struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let scheme = SecurityScheme::Http(
            Http::builder()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(
                    "TCP only: the content of control.token, or of control-read.token, which \
                     reads only. The Unix socket needs none.",
                ))
                .build(),
        );
        components.add_security_scheme("token", scheme);
    }
}
