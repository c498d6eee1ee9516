//! Reads the tokens of a msgpack document from a slice.
//!
//! Lengths are held against the bytes that are left before anything is made of them.

use rmp::Marker;

/// What stands at the reader's position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// The elements follow.
    Array(usize),
    /// The keys and values follow, alternating.
    Map(usize),
    Extension(i8, &'a [u8]),
}

/// The document ends early, holds invalid text or uses a reserved marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    #[error("the msgpack document ends early")]
    Truncated,
    #[error("a string is not UTF-8")]
    Text,
    #[error("the msgpack document uses a reserved marker")]
    Reserved,
}

pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(document: &'a [u8]) -> Self {
        Self { rest: document }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Reads the next token.
    pub(super) fn token(&mut self) -> Result<Token<'a>, TokenError> {
        let marker = Marker::from_u8(self.number::<1>()?[0]);
        Ok(match marker {
            Marker::Null => Token::Nil,
            Marker::False => Token::Bool(false),
            Marker::True => Token::Bool(true),
            Marker::FixPos(value) => Token::Int(value.into()),
            Marker::FixNeg(value) => Token::Int(value.into()),
            Marker::U8 => Token::Int(u8::from_be_bytes(self.number()?).into()),
            Marker::U16 => Token::Int(u16::from_be_bytes(self.number()?).into()),
            Marker::U32 => Token::Int(u32::from_be_bytes(self.number()?).into()),
            Marker::U64 => Token::Uint(u64::from_be_bytes(self.number()?)),
            Marker::I8 => Token::Int(i8::from_be_bytes(self.number()?).into()),
            Marker::I16 => Token::Int(i16::from_be_bytes(self.number()?).into()),
            Marker::I32 => Token::Int(i32::from_be_bytes(self.number()?).into()),
            Marker::I64 => Token::Int(i64::from_be_bytes(self.number()?)),
            Marker::F32 => Token::Float(f32::from_be_bytes(self.number()?).into()),
            Marker::F64 => Token::Float(f64::from_be_bytes(self.number()?)),
            Marker::FixStr(length) => self.text(length.into())?,
            Marker::Str8 | Marker::Str16 | Marker::Str32 => {
                let length = self.length(marker)?;
                self.text(length)?
            }
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
                let length = self.length(marker)?;
                Token::Bytes(self.take(length)?)
            }
            Marker::FixArray(count) => self.counted(count.into(), 1).map(Token::Array)?,
            Marker::Array16 | Marker::Array32 => {
                let count = self.length(marker)?;
                self.counted(count, 1).map(Token::Array)?
            }
            Marker::FixMap(count) => self.counted(count.into(), 2).map(Token::Map)?,
            Marker::Map16 | Marker::Map32 => {
                let count = self.length(marker)?;
                self.counted(count, 2).map(Token::Map)?
            }
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 | Marker::Ext16 | Marker::Ext32 => {
                let length = self.length(marker)?;
                self.extension(length)?
            }
            Marker::Reserved => return Err(TokenError::Reserved),
        })
    }

    /// Reads the length that follows such a marker.
    fn length(&mut self, marker: Marker) -> Result<usize, TokenError> {
        let length = match marker {
            Marker::Str8 | Marker::Bin8 | Marker::Ext8 => u8::from_be_bytes(self.number()?).into(),
            Marker::Str16 | Marker::Bin16 | Marker::Ext16 | Marker::Array16 | Marker::Map16 => {
                u16::from_be_bytes(self.number()?).into()
            }
            _ => u32::from_be_bytes(self.number()?),
        };
        usize::try_from(length).map_err(|_| TokenError::Truncated)
    }

    /// A count of entries that the rest of the document can hold, each of so many bytes at least.
    fn counted(&self, count: usize, bytes_min: usize) -> Result<usize, TokenError> {
        match count.checked_mul(bytes_min) {
            Some(bytes) if bytes <= self.rest.len() => Ok(count),
            _ => Err(TokenError::Truncated),
        }
    }

    fn text(&mut self, length: usize) -> Result<Token<'a>, TokenError> {
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map(Token::Text).map_err(|_| TokenError::Text)
    }

    fn extension(&mut self, length: usize) -> Result<Token<'a>, TokenError> {
        let ty = i8::from_be_bytes(self.number()?);
        Ok(Token::Extension(ty, self.take(length)?))
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], TokenError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(TokenError::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], TokenError> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(TokenError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }
}
