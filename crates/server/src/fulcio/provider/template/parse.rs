// SPDX-License-Identifier: Apache-2.0
//! From the text of a template to its nodes: pieces between braces, tokens inside them, and what they mean.
//!
//! In scope: the subset that [`super`] names. Out of scope: rendering.
//! Invariant: every token of an action is understood, or the template is refused.

use super::{Condition, DEPTH_MAX, Node, Operand, TemplateError};

pub(super) fn nodes(text: &str) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser { pieces: pieces(text)?.into_iter().peekable() };
    let nodes = parser.nodes(0)?;
    match parser.pieces.next() {
        None => Ok(nodes),
        Some(Piece::Else { at, .. }) => Err(TemplateError::WithoutIf { at, action: "else" }),
        Some(Piece::End { at }) => Err(TemplateError::WithoutIf { at, action: "end" }),
        Some(_) => unreachable!("a list of nodes ends at else, at end, or with the template"),
    }
}

/// What stands between the braces, and around them.
enum Piece {
    Text(String),
    Value(Operand),
    If { at: usize, condition: Condition },
    Else { at: usize, condition: Option<Condition> },
    End { at: usize },
}

struct Parser {
    pieces: std::iter::Peekable<std::vec::IntoIter<Piece>>,
}

impl Parser {
    /// Up to `else`, `end` or the end of the template.
    fn nodes(&mut self, depth: usize) -> Result<Vec<Node>, TemplateError> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next_if(|piece| !matches!(piece, Piece::Else { .. } | Piece::End { .. })) {
            match piece {
                Piece::Text(text) => nodes.push(Node::Text(text)),
                Piece::Value(operand) => nodes.push(Node::Value(operand)),
                Piece::If { at, condition } => nodes.push(self.branches(at, condition, depth + 1)?),
                Piece::Else { .. } | Piece::End { .. } => unreachable!("they are left where they are"),
            }
        }
        Ok(nodes)
    }

    /// What follows an `if`, its `end` included.
    fn branches(&mut self, at: usize, condition: Condition, depth: usize) -> Result<Node, TemplateError> {
        if depth > DEPTH_MAX {
            return Err(TemplateError::TooDeep { at });
        }
        let then = self.nodes(depth)?;
        let otherwise = match self.pieces.next() {
            Some(Piece::End { .. }) => Vec::new(),
            Some(Piece::Else { condition: Some(next), at }) => vec![self.branches(at, next, depth + 1)?],
            Some(Piece::Else { condition: None, .. }) => {
                let otherwise = self.nodes(depth)?;
                match self.pieces.next() {
                    Some(Piece::End { .. }) => otherwise,
                    Some(Piece::Else { at, .. }) => return Err(TemplateError::WithoutIf { at, action: "else" }),
                    _ => return Err(TemplateError::WithoutEnd { at }),
                }
            }
            _ => return Err(TemplateError::WithoutEnd { at }),
        };
        Ok(Node::If { condition, then, otherwise })
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut position = 0;
    let mut trim_next = false;
    loop {
        let rest = text.get(position..).expect("positions are those of ASCII braces");
        let (before, open) = match rest.find("{{") {
            Some(open) => (&rest[..open], Some(position + open)),
            None => (rest, None),
        };
        let before = if trim_next { before.trim_start() } else { before };
        let Some(at) = open else {
            push_text(&mut pieces, before);
            return Ok(pieces);
        };
        let inside = text.get(at + 2..).expect("the braces were found");
        let length = closing(inside).ok_or(TemplateError::Unclosed { at })?;
        let mut action = inside.get(..length).expect("the braces were found");
        position = at + 2 + length + 2;
        // Go: a minus next to the braces, with white space on its other side, takes the white space around the action away.
        let trim_before = action.starts_with("- ");
        push_text(&mut pieces, if trim_before { before.trim_end() } else { before });
        action = if trim_before { action.get(1..).expect("it begins with a minus") } else { action };
        trim_next = action.ends_with(" -");
        action = action.strip_suffix(" -").unwrap_or(action).trim();
        if !(action.starts_with("/*") && action.ends_with("*/") && action.len() >= 4) {
            pieces.push(Action { tokens: tokens(action, at)?, next: 0, at }.piece()?);
        }
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

/// Where `}}` is that does not stand in quotes.
fn closing(inside: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (position, byte) in inside.bytes().enumerate() {
        match (quote, byte) {
            (Some(b'"'), b'\\') if !escaped => escaped = true,
            (Some(open), close) if open == close && !escaped => quote = None,
            (Some(_), _) => escaped = false,
            (None, b'"' | b'`') => quote = Some(byte),
            (None, b'}') if inside.as_bytes().get(position + 1) == Some(&b'}') => return Some(position),
            (None, _) => {}
        }
    }
    None
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Dot,
    Field(String),
    Word(String),
    Literal(String),
    Open,
    Close,
}

fn tokens(action: &str, at: usize) -> Result<Vec<Token>, TemplateError> {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    let mut tokens = Vec::new();
    let mut characters = action.chars().peekable();
    while let Some(character) = characters.next() {
        let mut name = |first: Option<char>| {
            let mut text: String = first.into_iter().collect();
            while let Some(next) = characters.next_if(|next| is_name(*next)) {
                text.push(next);
            }
            text
        };
        tokens.push(match character {
            white if white.is_ascii_whitespace() => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            '.' => match name(None) {
                empty if empty.is_empty() => Token::Dot,
                field => Token::Field(field),
            },
            '"' | '`' => Token::Literal(literal(character, &mut characters).ok_or(TemplateError::Literal { at })?),
            first if is_name(first) => Token::Word(name(Some(first))),
            _ => return Err(TemplateError::NotUnderstood { at }),
        });
    }
    Ok(tokens)
}

fn literal(quote: char, characters: &mut impl Iterator<Item = char>) -> Option<String> {
    let mut text = String::new();
    loop {
        match characters.next()? {
            end if end == quote => return Some(text),
            '\\' if quote == '"' => match characters.next()? {
                plain @ ('"' | '\\') => text.push(plain),
                _ => return None,
            },
            other => text.push(other),
        }
    }
}

/// One action, read from left to right.
struct Action {
    tokens: Vec<Token>,
    next: usize,
    at: usize,
}

impl Action {
    fn piece(mut self) -> Result<Piece, TemplateError> {
        let at = self.at;
        let piece = match self.word() {
            Some("if") => Piece::If { at, condition: self.skip().condition(0)? },
            Some("else") => match self.skip().word() {
                Some("if") => Piece::Else { at, condition: Some(self.skip().condition(0)?) },
                _ => Piece::Else { at, condition: None },
            },
            Some("end") => {
                self.skip();
                Piece::End { at }
            }
            Some("index") => Piece::Value(self.skip().index()?),
            _ => Piece::Value(self.operand()?),
        };
        if self.next == self.tokens.len() { Ok(piece) } else { Err(TemplateError::NotUnderstood { at }) }
    }

    fn condition(&mut self, depth: usize) -> Result<Condition, TemplateError> {
        if depth > DEPTH_MAX {
            return Err(TemplateError::TooDeep { at: self.at });
        }
        match self.word() {
            Some("eq") => {
                let one = self.skip().operand()?;
                let others = self.operands()?;
                Ok(Condition::Equal(one, others))
            }
            Some("ne") => {
                let one = self.skip().operand()?;
                let other = self.operand()?;
                Ok(Condition::Not(Box::new(Condition::Equal(one, vec![other]))))
            }
            Some("not") => Ok(Condition::Not(Box::new(self.skip().argument(depth)?))),
            Some("and") => Ok(Condition::All(self.skip().arguments(depth)?)),
            Some("or") => Ok(Condition::Any(self.skip().arguments(depth)?)),
            Some("index") => Ok(Condition::Given(self.skip().index()?)),
            _ => self.argument(depth),
        }
    }

    /// An operand, or a condition in parentheses.
    fn argument(&mut self, depth: usize) -> Result<Condition, TemplateError> {
        let is_condition =
            self.peek(0) == Some(&Token::Open) && !matches!(self.peek(1), Some(Token::Word(word)) if word == "index");
        if !is_condition {
            return Ok(Condition::Given(self.operand()?));
        }
        let condition = self.skip().condition(depth + 1)?;
        self.expect(&Token::Close)?;
        Ok(condition)
    }

    fn arguments(&mut self, depth: usize) -> Result<Vec<Condition>, TemplateError> {
        let mut arguments = vec![self.argument(depth)?];
        while self.next < self.tokens.len() && self.peek(0) != Some(&Token::Close) {
            arguments.push(self.argument(depth)?);
        }
        Ok(arguments)
    }

    fn operands(&mut self) -> Result<Vec<Operand>, TemplateError> {
        let mut operands = vec![self.operand()?];
        while self.next < self.tokens.len() && self.peek(0) != Some(&Token::Close) {
            operands.push(self.operand()?);
        }
        Ok(operands)
    }

    fn operand(&mut self) -> Result<Operand, TemplateError> {
        match self.peek(0).cloned() {
            Some(Token::Field(name)) => {
                self.skip();
                Ok(Operand::Field(name))
            }
            Some(Token::Literal(text)) => {
                self.skip();
                Ok(Operand::Literal(text))
            }
            Some(Token::Open) => {
                self.skip().expect(&Token::Word("index".to_owned()))?;
                let operand = self.index()?;
                self.expect(&Token::Close)?;
                Ok(operand)
            }
            _ => Err(TemplateError::NotUnderstood { at: self.at }),
        }
    }

    /// After the word `index`.
    fn index(&mut self) -> Result<Operand, TemplateError> {
        self.expect(&Token::Dot)?;
        match self.peek(0).cloned() {
            Some(Token::Literal(name)) => {
                self.skip();
                Ok(Operand::Index(name))
            }
            _ => Err(TemplateError::NotUnderstood { at: self.at }),
        }
    }

    fn expect(&mut self, token: &Token) -> Result<(), TemplateError> {
        if self.peek(0) != Some(token) {
            return Err(TemplateError::NotUnderstood { at: self.at });
        }
        self.skip();
        Ok(())
    }

    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.next + ahead)
    }

    fn word(&self) -> Option<&str> {
        match self.peek(0) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn skip(&mut self) -> &mut Self {
        self.next += 1;
        self
    }
}
