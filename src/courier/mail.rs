//! Mail: one message by SMTP.

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport as _, Message as Letter, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        Error,
        authentication::Credentials,
        client::{Tls, TlsParameters},
        extension::ClientId,
    },
};

use super::{PATIENCE, reasons};
use crate::{
    alerts::{Failure, Message},
    registry::{MailTarget, MailTls},
};

/// Where TLS begins with the first byte.
const SUBMISSIONS_PORT: u16 = 465;

pub(super) async fn send(target: &MailTarget, message: &Message) -> Result<(), Failure> {
    let letter = write(target, message)?;
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&target.host)
        .port(target.port)
        .timeout(Some(PATIENCE))
        .hello_name(hello(&message.host))
        .tls(tls(target)?);
    if let Some(credentials) = credentials(target)? {
        transport = transport.credentials(credentials);
    }
    transport.build().send(letter).await.map(drop).map_err(|error| judge(&error))
}

fn write(target: &MailTarget, message: &Message) -> Result<Letter, Failure> {
    let mailbox = |address: &str| {
        let address = address.parse::<Address>();
        let address = address.map_err(|error| Failure::lasting(format!("an address: {error}")))?;
        Ok(Mailbox::new(None, address))
    };
    let mut letter = Letter::builder()
        .from(mailbox(&target.from)?)
        .subject(message.subject())
        .message_id(Some(message_id(target, message)))
        .header(AutoSubmitted)
        .header(ContentType::TEXT_PLAIN);
    for to in &target.to {
        letter = letter.to(mailbox(to)?);
    }
    letter
        .body(message.text.clone())
        .map_err(|error| Failure::lasting(format!("cannot be written: {}", reasons(&error))))
}

/// The same for each try, so that a letter that was taken although we did not hear of it is
/// known when it comes again.
fn message_id(target: &MailTarget, message: &Message) -> String {
    let (_, domain) = target.from.rsplit_once('@').unwrap_or(("", "localhost"));
    let id = message.id.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', ".");
    format!("<{id}@{domain}>")
}

/// So that nobody's holiday answers (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl lettre::message::header::Header for AutoSubmitted {
    fn name() -> lettre::message::header::HeaderName {
        lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> lettre::message::header::HeaderValue {
        lettre::message::header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// Servers want a name with a form; where ours has none, the address is one.
fn hello(host: &str) -> ClientId {
    let label = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    if !host.is_empty() && host.chars().all(label) {
        ClientId::Domain(host.to_owned())
    } else {
        ClientId::default()
    }
}

fn tls(target: &MailTarget) -> Result<Tls, Failure> {
    let parameters = |anybody: bool| {
        TlsParameters::builder(target.host.clone())
            .dangerous_accept_invalid_certs(anybody)
            .dangerous_accept_invalid_hostnames(anybody)
            .build()
            .map_err(|error| Failure::lasting(reasons(&error)))
    };
    match (target.tls, target.port, &target.user) {
        (MailTls::Never, ..) => Ok(Tls::None),
        (MailTls::Implicit, ..) | (MailTls::Auto, SUBMISSIONS_PORT, _) => {
            Ok(Tls::Wrapper(parameters(false)?))
        }
        (MailTls::Starttls, ..) | (MailTls::Auto, _, Some(_)) => {
            Ok(Tls::Required(parameters(false)?))
        }
        // As mail servers do among themselves: better private from those who listen than not at
        // all. The servers of a machine mostly have a certificate that they made themselves.
        (MailTls::Auto, _, None) => Ok(Tls::Opportunistic(parameters(true)?)),
    }
}

fn credentials(target: &MailTarget) -> Result<Option<Credentials>, Failure> {
    let (Some(user), Some(file)) = (&target.user, &target.password_file) else { return Ok(None) };
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::lasting(format!("cannot read {}: {error}", file.display())))?;
    let password = text.lines().next().unwrap_or_default().to_owned();
    Ok(Some(Credentials::new(user.clone(), password)))
}

/// 5xx stays as it is, 4xx passes (RFC 5321, 4.2.1), and so does whatever the network does.
fn judge(error: &Error) -> Failure {
    let why = reasons(error);
    if error.is_permanent() || error.is_client() {
        Failure::lasting(why)
    } else {
        Failure::passing(why)
    }
}
