//! How values that are parsed into types of their own look in the API's description. Lists of words come from the
//! tables that the parsers use.

use porthole_shared::names::{ConsoleKind, ConsoleSource};
use utoipa::openapi::schema::{OneOfBuilder, Schema, SchemaType};
use utoipa::openapi::{KnownFormat, Object, ObjectBuilder, SchemaFormat, Type};

use crate::audit::Kind;
use crate::callers::Role;
use crate::tokens::Policy;

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
