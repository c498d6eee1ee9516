//! One field: its attribute or block, and whether it identifies the object.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt as _;
use syn::{Error, Expr, Ident, LitStr, Type};

use crate::docs;

/// A field and what is said of it.
pub(crate) struct Field<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) ty: &'a Type,
    pub(crate) name: String,
    docs: String,
    /// Calls of the attribute's builder.
    calls: Vec<TokenStream>,
    /// Whether the words say who sets it.
    says_who: bool,
    /// Words said so far.
    words: Vec<String>,
    pub(crate) is_identity: bool,
    block: Option<TokenStream>,
}

impl<'a> Field<'a> {
    pub(crate) fn read(field: &'a syn::Field, ident: &'a Ident) -> Result<Self, Error> {
        let mut read = Self {
            ident,
            ty: &field.ty,
            name: ident.unraw().to_string(),
            docs: docs::text(&field.attrs),
            calls: Vec::new(),
            says_who: false,
            words: Vec::new(),
            is_identity: false,
            block: None,
        };
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("tf")) {
            attribute.parse_nested_meta(|meta| read.word(&meta))?;
        }
        if read.block.is_some() && !read.calls.is_empty() {
            return Err(Error::new_spanned(ident, "a block has no words of an attribute"));
        }
        Ok(read)
    }

    fn word(&mut self, meta: &syn::meta::ParseNestedMeta<'_>) -> Result<(), Error> {
        let Some(word) = meta.path.get_ident().map(ToString::to_string) else {
            return Err(meta.error("a word is wanted"));
        };
        self.fits(&word).map_err(|reason| meta.error(reason))?;
        match word.as_str() {
            "required" | "optional" | "computed" => {
                self.says_who = true;
                self.call(meta);
            }
            "keeps_prior" | "replaces" | "write_only" => self.call(meta),
            "default" => {
                self.says_who = true;
                let value: Expr = meta.value()?.parse()?;
                self.calls.push(quote!(.default(#value)));
            }
            "replaces_if" | "equal_if" | "modify_plan" | "identified_by" | "validate" => {
                let (name, value) = (&meta.path, meta.value()?.parse::<Expr>()?);
                self.calls.push(quote!(.#name(#value)));
            }
            "deprecated" => {
                let text: LitStr = meta.value()?.parse()?;
                self.calls.push(quote!(.deprecated(#text)));
            }
            "identity" => self.is_identity = true,
            "block" => {
                let mut items = quote!();
                if meta.input.peek(syn::token::Paren) {
                    let content;
                    syn::parenthesized!(content in meta.input);
                    let range: Expr = content.parse()?;
                    items = quote!(.between(#range));
                }
                self.block = Some(items);
            }
            other => {
                return Err(meta.error(format!(
                    "`{other}` is none of required, optional, computed, default, keeps_prior, \
                     replaces, replaces_if, equal_if, modify_plan, identified_by, validate, write_only, deprecated, identity, block"
                )));
            }
        }
        Ok(())
    }

    /// Takes the word down unless one before it rules it out.
    fn fits(&mut self, word: &str) -> Result<(), String> {
        const APART: [(&str, &str); 6] = [
            ("required", "optional"),
            ("required", "computed"),
            ("required", "default"),
            ("write_only", "computed"),
            ("write_only", "default"),
            ("write_only", "keeps_prior"),
        ];
        for said in &self.words {
            if said == word && word != "validate" {
                return Err(format!("`{word}` is said twice"));
            }
            if APART.contains(&(said, word)) || APART.contains(&(word, said)) {
                return Err(format!("`{said}` and `{word}` rule each other out"));
            }
        }
        self.words.push(word.to_owned());
        Ok(())
    }

    fn call(&mut self, meta: &syn::meta::ParseNestedMeta<'_>) {
        let path = &meta.path;
        self.calls.push(quote!(.#path()));
    }

    /// Name of the constant that names the attribute.
    pub(crate) fn constant(&self) -> Ident {
        format_ident!("{}", self.name.to_uppercase(), span = self.ident.span())
    }

    /// Adds the field to a block.
    pub(crate) fn added(&self, is_computed: bool) -> TokenStream {
        let Self { ty, name, docs, calls, .. } = self;
        // A block says what it is for by its struct, unless the field says more.
        let described = (!docs.is_empty()).then(|| quote!(.describe(#docs)));
        if let Some(items) = &self.block {
            return quote! {
                .block(::tfplugin::typed::nested_block::<#ty>(#name) #described #items)
            };
        }
        let who = match (self.says_who, is_computed) {
            (true, _) => quote!(),
            (false, true) => quote!(.computed()),
            (false, false) => quote!(.optional()),
        };
        quote! {
            .attribute(::tfplugin::typed::attribute::<#ty>(#name) #described #who #(#calls)*)
        }
    }

    /// Adds the field to an identity.
    pub(crate) fn identifies(&self) -> TokenStream {
        let Self { ty, name, docs, .. } = self;
        quote!(.required(#name, ::tfplugin::typed::attribute::<#ty>(#name).implied_type(), #docs))
    }
}
