//! `#[derive(Model)]`: one struct is the values of an object, its schema and the names of its attributes.
//!
//! The derive only writes out, field by field, what `tfplugin::typed` defines; every rule is there.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod docs;
mod field;
mod object;

use proc_macro::TokenStream;
use syn::{DeriveInput, Error, parse_macro_input};

/// Makes a struct with named fields a `tfplugin::Model`.
///
/// Every field is named like its attribute (`r#type` for `type`) and is a `tfplugin::Attr` or a
/// `tfplugin::Value`: anything else could not hold what is not known yet, and does not compile. Its
/// doc comment is the attribute's description, its type the attribute's type: `Sensitive<_>` is
/// sensitive, a struct with this derive is a nested attribute, in a `Vec`, `BTreeSet` or `BTreeMap`
/// of them, too. Each attribute's name is a constant: `Note::TITLE` for the field `title`.
///
/// `#[tf(...)]` at a field says the rest:
///
/// | word | the attribute |
/// |---|---|
/// | `required`, `optional`, `computed` | is set by the user, by the provider, or by both; `optional` where nothing is said |
/// | `default = EXPR` | has this value where nobody sets one |
/// | `keeps_prior`, `replaces`, `replaces_if = EXPR`, `equal_if = EXPR`, `modify_plan = EXPR`, `identified_by = "..."` | see the methods of `tfplugin::Attribute` |
/// | `validate = EXPR` | is checked; may be repeated |
/// | `write_only`, `deprecated = "..."` | is never stored; should not be used |
/// | `identity` | identifies the object, see `tfplugin::IdentitySchema` |
/// | `block`, `block(1..=3)` | is a block, or so many of them |
///
/// And at the struct: `version = N` of its state, `computed` where every field without a word of its
/// own is, `group = EXPR` for a rule on several attributes, `deprecated = "..."`.
#[proc_macro_derive(Model, attributes(tf))]
pub fn model(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    object::expand(&input).unwrap_or_else(Error::into_compile_error).into()
}
