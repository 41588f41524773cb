//! What TCP callers must show: a Host of ours, no Origin, a token.
//!
//! The port is open to every user of the machine and to every web page in their browsers. The
//! token keeps the users out; Host (against DNS rebinding) and Origin (against cross-site
//! requests) keep the pages out, also from the probes, which need no token.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{access::Access, refusal::Refusal, routes::is_probe, token::Tokens};
use crate::{model::Via, wire::ProblemCode};

/// The other end of a TCP connection; the listener puts it on every request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Lets a TCP request in with its [`Access`], or refuses it.
pub(super) async fn guard(
    State(tokens): State<Arc<Tokens>>,
    mut request: Request,
    next: Next,
) -> Response {
    match admit(&tokens, &request) {
        Ok(access) => {
            if let Some(access) = access {
                request.extensions_mut().insert(access);
            }
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

fn admit(tokens: &Tokens, request: &Request) -> Result<Option<Access>, Refusal> {
    let headers = request.headers();
    if !is_ours(headers, request.uri().authority()) {
        return Err(Refusal::new(
            ProblemCode::MisdirectedHost,
            "the Host of the request is not this machine's loopback: \
             ask http://127.0.0.1 or http://localhost",
        ));
    }
    if headers.contains_key(header::ORIGIN) {
        return Err(Refusal::new(
            ProblemCode::OriginRefused,
            "the request comes from a web page (it has an Origin): pages may not ask",
        ));
    }
    let Some(token) = bearer(headers) else {
        if is_probe(request.uri().path()) {
            return Ok(None);
        }
        return Err(Refusal::new(
            ProblemCode::Unauthorized,
            "a token is needed: send \"Authorization: Bearer\" with the content of \
             control.token or control-read.token from the Supervisor's temp folder",
        ));
    };
    let Some(kind) = tokens.find(token) else {
        return Err(Refusal::new(
            ProblemCode::Unauthorized,
            "the token is wrong: take it anew from control.token or control-read.token \
             in the Supervisor's temp folder",
        ));
    };
    let peer = request.extensions().get::<Peer>();
    let peer = peer.map_or_else(|| "an unknown address".to_owned(), |Peer(peer)| peer.to_string());
    let access = Access::full(Via::Tcp { peer, token: kind.name().to_owned() });
    Ok(Some(if kind.reads_only() { access.read_only() } else { access }))
}

/// One Host header, and it names the loopback; a target in absolute form as well.
fn is_ours(headers: &HeaderMap, target: Option<&Authority>) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(host) = host.to_str() else { return false };
    let Ok(host) = host.parse::<Authority>() else { return false };
    is_loopback(&host) && target.is_none_or(is_loopback)
}

fn is_loopback(authority: &Authority) -> bool {
    let bare = authority.as_str();
    let host = authority.host();
    // What stands before an @ is no part of a Host.
    !bare.contains('@')
        && (host.eq_ignore_ascii_case("localhost") || host == "127.0.0.1" || host == "[::1]")
}

/// The token of the one `Authorization: Bearer TOKEN`.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &header::HeaderName, values: &[&str]) -> HeaderMap {
        let value = |text: &&str| (name.clone(), text.parse().expect("a legal header"));
        values.iter().map(value).collect()
    }

    #[test]
    fn only_loopback_names_are_our_host() {
        for ours in ["localhost", "LOCALHOST:9910", "127.0.0.1", "127.0.0.1:1", "[::1]:9910"] {
            assert!(is_ours(&headers(&header::HOST, &[ours]), None), "{ours}");
        }
        let foreign = [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:9910",
            "evil.example@localhost",
            "localhost@evil.example",
            "[::2]",
            "0.0.0.0",
        ];
        for foreign in foreign {
            assert!(!is_ours(&headers(&header::HOST, &[foreign]), None), "{foreign}");
        }
        assert!(!is_ours(&headers(&header::HOST, &[]), None));
        assert!(!is_ours(&headers(&header::HOST, &["localhost", "localhost"]), None));
        let target = Authority::from_static("evil.example");
        assert!(!is_ours(&headers(&header::HOST, &["localhost"]), Some(&target)));
    }

    #[test]
    fn a_bearer_token_is_found_whatever_the_case_of_its_scheme() {
        let token =
            |values: &[&str]| bearer(&headers(&header::AUTHORIZATION, values)).map(<[u8]>::to_vec);
        assert_eq!(token(&["bearer abc"]), Some(b"abc".to_vec()));
        assert_eq!(token(&["Basic abc"]), None);
        assert_eq!(token(&["Bearer"]), None);
        assert_eq!(token(&["Bearer a", "Bearer b"]), None);
    }
}
