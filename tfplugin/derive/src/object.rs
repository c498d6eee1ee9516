//! The struct as a whole.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Expr, Fields, LitInt, LitStr};

use crate::docs;
use crate::field::Field;

/// What is said of the struct.
#[derive(Default)]
struct Words {
    version: Option<LitInt>,
    is_computed: bool,
    /// Calls of the block's builder.
    calls: Vec<TokenStream>,
}

impl Words {
    fn read(input: &DeriveInput) -> Result<Self, Error> {
        let mut words = Self::default();
        for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("tf")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("version") {
                    words.version = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("computed") {
                    words.is_computed = true;
                } else if meta.path.is_ident("group") {
                    let group: Expr = meta.value()?.parse()?;
                    words.calls.push(quote!(.group(#group)));
                } else if meta.path.is_ident("deprecated") {
                    let text: LitStr = meta.value()?.parse()?;
                    words.calls.push(quote!(.deprecated(#text)));
                } else {
                    return Err(meta.error("none of version, computed, group, deprecated"));
                }
                Ok(())
            })?;
        }
        Ok(words)
    }
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream, Error> {
    let name = &input.ident;
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(name, "a model is a struct"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(name, "a model has named fields"));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a model is not generic"));
    }
    let words = Words::read(input)?;
    let read = fields.named.iter().filter_map(|field| Some((field, field.ident.as_ref()?)));
    let fields: Vec<Field<'_>> =
        read.map(|(field, ident)| Field::read(field, ident)).collect::<Result<_, _>>()?;
    let constants = constants(input, &fields);
    let values = values(input, &fields);
    let schema = schema(input, &words, &fields);
    Ok(quote! {
        #constants

        impl ::tfplugin::typed::Model for #name {
            #values
            #schema
        }

        impl ::tfplugin::typed::Content for #name {
            fn shape() -> ::tfplugin::typed::FieldShape {
                ::tfplugin::typed::object_shape::<Self>()
            }

            fn read(
                value: &::tfplugin::Value,
            ) -> ::std::result::Result<::tfplugin::Attr<Self>, ::tfplugin::value::ValueError> {
                ::tfplugin::typed::read_object(value)
            }

            fn write(self) -> ::tfplugin::Value {
                ::tfplugin::typed::Model::into_value(self)
            }
        }
    })
}

/// The names of the attributes.
fn constants(input: &DeriveInput, fields: &[Field<'_>]) -> TokenStream {
    let (name, visibility) = (&input.ident, &input.vis);
    let constants = fields.iter().map(|field| {
        let (constant, text) = (field.constant(), &field.name);
        let docs = format!("Name of the attribute `{text}`.");
        quote! {
            #[doc = #docs]
            #visibility const #constant: &'static str = #text;
        }
    });
    quote! {
        #[allow(dead_code)]
        impl #name {
            #(#constants)*
        }
    }
}

/// Between the struct and an object value.
fn values(_: &DeriveInput, fields: &[Field<'_>]) -> TokenStream {
    let idents: Vec<_> = fields.iter().map(|field| field.ident).collect();
    let names: Vec<_> = fields.iter().map(|field| &field.name).collect();
    let types = fields.iter().map(|field| field.ty);
    quote! {
        fn fields() -> ::std::vec::Vec<::tfplugin::typed::ModelField> {
            ::std::vec![#(::tfplugin::typed::ModelField::of::<#types>(#names)),*]
        }

        fn from_value(
            value: &::tfplugin::Value,
        ) -> ::std::result::Result<Self, ::tfplugin::value::ValueError> {
            ::std::result::Result::Ok(Self {
                #(#idents: ::tfplugin::typed::read_field(value, #names)?),*
            })
        }

        fn into_value(self) -> ::tfplugin::Value {
            ::tfplugin::Value::object([
                #((#names, ::tfplugin::typed::Field::write(self.#idents))),*
            ])
        }
    }
}

/// What the struct's block may hold.
fn schema(input: &DeriveInput, words: &Words, fields: &[Field<'_>]) -> TokenStream {
    let docs = docs::text(&input.attrs);
    let added = fields.iter().map(|field| field.added(words.is_computed));
    let calls = &words.calls;
    let version = words.version.as_ref().map(|version| {
        quote! {
            fn version() -> i64 {
                #version
            }
        }
    });
    let identifying: Vec<_> =
        fields.iter().filter(|field| field.is_identity).map(Field::identifies).collect();
    let identity = (!identifying.is_empty()).then(|| {
        quote! {
            fn identity() -> ::std::option::Option<::tfplugin::IdentitySchema> {
                ::std::option::Option::Some(::tfplugin::IdentitySchema::new(0) #(#identifying)*)
            }
        }
    });
    quote! {
        fn block() -> ::tfplugin::Block {
            ::tfplugin::Block::new().describe(#docs) #(#added)* #(#calls)*
        }

        #version
        #identity
    }
}

#[cfg(test)]
mod tests {
    use syn::DeriveInput;

    use super::expand;

    /// What a model must not be, and what the compiler then says.
    const REFUSED: [(&str, &str); 14] = [
        ("enum Any { One }", "a model is a struct"),
        ("struct Any(String);", "a model has named fields"),
        ("struct Any;", "a model has named fields"),
        ("struct Any<T> { a: Attr<T> }", "a model is not generic"),
        ("#[tf(sort)] struct Any {}", "none of version, computed, group, deprecated"),
        ("#[tf(version = \"1\")] struct Any {}", "expected integer literal"),
        ("struct Any { #[tf(require)] a: Attr<bool> }", "`require` is none of required, optional,"),
        ("struct Any { #[tf(a::b)] a: Attr<bool> }", "a word is wanted"),
        ("struct Any { #[tf(default)] a: Attr<bool> }", "expected `=`"),
        ("struct Any { #[tf(deprecated = 1)] a: Attr<bool> }", "expected string literal"),
        (
            "struct Any { #[tf(block, required)] a: Vec<Other> }",
            "a block has no words of an attribute",
        ),
        (
            "struct Any { #[tf(optional)] #[tf(optional)] a: Attr<bool> }",
            "`optional` is said twice",
        ),
        (
            "struct Any { #[tf(default = true, required)] a: Attr<bool> }",
            "`default` and `required` rule each other out",
        ),
        (
            "struct Any { #[tf(optional, write_only, computed)] a: Attr<bool> }",
            "`write_only` and `computed` rule each other out",
        ),
    ];

    #[test]
    fn what_a_model_must_not_be_is_refused_in_words() {
        for (text, reason) in REFUSED {
            let input: DeriveInput = syn::parse_str(text).unwrap();
            let told = expand(&input).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(told.contains(reason), "{text}: {told:?} instead of {reason:?}");
        }
    }

    #[test]
    fn every_word_is_taken() {
        let fields = [
            "#[tf(required, replaces, identity)] a: Attr<String>",
            "#[tf(optional, write_only, validate = length(1..), validate = length(..9))] a: Attr<String>",
            "#[tf(default = 3, replaces_if = grew, equal_if = same, modify_plan = next)] a: Attr<i64>",
            "#[tf(computed, keeps_prior, deprecated = \"gone soon\")] a: Attr<i64>",
            "#[tf(identified_by = \"name\")] a: Attr<Vec<Other>>",
            "#[tf(block)] a: Vec<Other>",
            "#[tf(block(1..=2))] a: Vec<Other>",
        ];
        for field in fields {
            let head =
                "#[tf(version = 2, computed, group = one_of([\"a\"]), deprecated = \"gone\")]";
            let text = format!("{head} struct Any {{ {field} }}");
            let input: DeriveInput = syn::parse_str(&text).unwrap();
            if let Err(error) = expand(&input) {
                panic!("{field}: {error}");
            }
        }
    }
}
