//! `#[derive(Model)]`: between a struct and the object value of the same attributes.
//!
//! The derive only writes out, field by field, what `tfplugin::typed` defines; every rule is there.

use proc_macro::TokenStream;
use quote::quote;
use syn::ext::IdentExt as _;
use syn::{Data, DeriveInput, Error, Fields, parse_macro_input};

/// Makes a struct with named fields a `tfplugin::Model`.
///
/// Every field is named like its attribute (`r#type` for `type`) and is a `tfplugin::Attr` or a
/// `tfplugin::Value`: anything else could not hold what is not known yet, and does not compile.
#[proc_macro_derive(Model)]
pub fn model(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(input: &DeriveInput) -> Result<proc_macro2::TokenStream, Error> {
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
    let idents: Vec<_> = fields.named.iter().filter_map(|field| field.ident.as_ref()).collect();
    let names: Vec<_> = idents.iter().map(|ident| ident.unraw().to_string()).collect();
    let types: Vec<_> = fields.named.iter().map(|field| &field.ty).collect();
    Ok(quote! {
        impl ::tfplugin::typed::Model for #name {
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
