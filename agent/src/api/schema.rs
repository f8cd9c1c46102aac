//! How values that are parsed into types of their own look in the API's description. Lists of words come from the
//! tables that the parsers use.

use porthole_shared::names::{ConsoleKind, ConsoleSource};
use utoipa::openapi::schema::{AdditionalProperties, Array, ArrayBuilder, OneOfBuilder, Schema, SchemaType};
use utoipa::openapi::{KnownFormat, Object, ObjectBuilder, SchemaFormat, Type};

use crate::audit::Kind;
use crate::callers::Role;
use crate::ports::{DeviceKind, MOST_DEVICES, PortState, Purpose};
use crate::tokens::Policy;
use porthole_domain::Difference;
use porthole_domain::spec::{PasswordRule, SerialProtocol, SharePolicy, Transport};

/// A UUID.
pub(super) fn uuid() -> Object {
    text().format(Some(SchemaFormat::Custom("uuid".to_owned()))).build()
}

/// A time.
pub(super) fn time() -> Object {
    text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))).build()
}

/// What is spoken on a console.
pub(super) fn kind() -> Object {
    words(ConsoleKind::ALL.map(ConsoleKind::as_str))
}

/// The same where it is asked for: Nova's words are taken, too.
pub(super) fn asked_kind() -> Object {
    let nova = ConsoleKind::ALL.into_iter().filter_map(ConsoleKind::nova_name);
    let mut all: Vec<_> = ConsoleKind::ALL.map(ConsoleKind::as_str).into_iter().chain(nova).collect();
    all.sort_unstable();
    all.dedup();
    or_null(words(all))
}

/// Which console of a kind is asked for.
pub(super) fn asked_index() -> Schema {
    let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(Some(255)).build();
    Schema::OneOf(OneOfBuilder::new().item(number).item(words(["any"])).build())
}

/// Where a console's owner is defined.
pub(super) fn source() -> Object {
    words(ConsoleSource::ALL.map(ConsoleSource::as_str))
}

/// Whose a link is.
pub(super) fn policy() -> Object {
    words(Policy::ALL.map(Policy::as_str))
}

/// The same where it is asked for.
pub(super) fn asked_policy() -> Object {
    or_null(policy())
}

/// What sort of thing happened.
pub(super) fn audit_event() -> Object {
    words(Kind::ALL.iter().map(|kind| kind.as_str()))
}

/// What a port of the table is.
pub(super) fn port_state() -> Object {
    words(PortState::ALL.map(PortState::as_str))
}

/// From which range a port is.
pub(super) fn purpose() -> Object {
    words(Purpose::ALL.map(Purpose::as_str))
}

/// A device that listens on a port.
pub(super) fn device() -> Object {
    let kinds: Vec<_> = DeviceKind::ALL.iter().map(|kind| kind.as_str()).collect();
    text().pattern(Some(format!("^({})-(0|[1-9][0-9]{{0,2}})$", kinds.join("|")))).build()
}

/// Devices that want ports.
pub(super) fn devices() -> Array {
    ArrayBuilder::new().items(device()).min_items(Some(1)).max_items(Some(MOST_DEVICES)).unique_items(true).build()
}

/// How consoles are reached.
pub(super) fn transport() -> Object {
    words(Transport::ALL.iter().map(|transport| transport.as_str()))
}

/// Who may watch a screen together.
pub(super) fn share() -> Object {
    words(SharePolicy::ALL.iter().map(|share| share.as_str()))
}

/// Whose a screen's password is, or nothing said.
pub(super) fn password_rule() -> Object {
    or_null(words(PasswordRule::ALL.iter().map(|rule| rule.as_str())))
}

/// A password for VNC, or nothing said.
pub(super) fn vnc_password() -> Object {
    let password = ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::String, Type::Null]));
    password.pattern(Some("^[ -~]{1,8}$")).write_only(true).build()
}

/// What is spoken on a serial port's TCP port.
pub(super) fn serial_protocol() -> Object {
    words(SerialProtocol::ALL.iter().map(|protocol| protocol.as_str()))
}

/// How many serial ports, or what that follows from.
pub(super) fn serial_ports() -> Schema {
    let number = |most| ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(most).build();
    let mut said = number(Some(255));
    said.schema_type = SchemaType::from_iter([Type::Integer, Type::Null]);
    let by_nova = ObjectBuilder::new()
        .property("flavor", said.clone())
        .property("image", said)
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .build();
    Schema::OneOf(OneOfBuilder::new().item(number(Some(4))).item(by_nova).build())
}

/// A keymap, or nothing said.
pub(super) fn keymap() -> Object {
    let keymap = ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::String, Type::Null]));
    keymap.pattern(Some("^[A-Za-z0-9_-]{1,32}$")).build()
}

/// Where what is said on serial ports is kept.
pub(super) fn console_log() -> Object {
    text().pattern(Some("^(host|off|(/[^/,]+)+)$")).max_length(Some(1000)).build()
}

/// Sorts of consoles that differ.
pub(super) fn differences() -> Array {
    ArrayBuilder::new().items(words([Difference::Serial, Difference::Vnc].map(Difference::as_str))).build()
}

/// What a caller is trusted with.
pub(super) fn role() -> Object {
    words(Role::ALL.map(Role::as_str))
}

fn words(all: impl IntoIterator<Item = &'static str>) -> Object {
    text().enum_values(Some(all)).build()
}

/// The same, or nothing said.
fn or_null(mut words: Object) -> Object {
    words.schema_type = SchemaType::from_iter([Type::String, Type::Null]);
    words.enum_values.get_or_insert_default().push(serde_json::Value::Null);
    words
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::String))
}

/// One console.
#[derive(Debug, utoipa::ToSchema)]
#[expect(dead_code, reason = "this is for the description only; what is sent is a ConsoleId")]
pub(super) struct ConsoleIdView {
    #[schema(schema_with = source)]
    source: String,
    /// Of its owner.
    #[schema(schema_with = uuid)]
    uuid: String,
    #[schema(schema_with = kind)]
    kind: String,
    /// Which one of that kind, from 0.
    index: u8,
}
