// SPDX-License-Identifier: Apache-2.0
//! How a service describes its messages to tools that ask (server reflection), without a compiler of schemas.
//!
//! In scope: the form of a description, as constants beside the messages; turning it into what reflection speaks (`descriptor.proto`).
//! Out of scope: which messages there are, which each service says; comments and options.
//! Invariant: a message has one set of alternatives at most, and all of its names come from here.

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    MethodDescriptorProto, OneofDescriptorProto, ServiceDescriptorProto,
};

/// One file of a schema.
pub(crate) struct File {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
    pub(crate) imports: &'static [&'static str],
    pub(crate) messages: &'static [(&'static str, &'static [Field])],
    pub(crate) enums: &'static [(&'static str, &'static [(u32, &'static str)])],
    pub(crate) services: &'static [(&'static str, &'static [Method])],
}

/// Name, number, type.
pub(crate) type Field = (&'static str, i32, Kind);

/// Name, request, reply.
pub(crate) type Method = (&'static str, &'static str, &'static str);

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Text,
    Bytes,
    Bool,
    Int64,
    Uint32,
    Message(&'static str),
    Enum(&'static str),
    Repeated(&'static Kind),
    /// One of several under a name that they share.
    OneOf(&'static str, &'static Kind),
}

/// The file in the words of `descriptor.proto`.
pub(crate) fn file(file: &File) -> FileDescriptorProto {
    FileDescriptorProto {
        name: Some(file.name.to_owned()),
        package: Some(file.package.to_owned()),
        dependency: file.imports.iter().map(|name| (*name).to_owned()).collect(),
        message_type: file.messages.iter().map(|(name, fields)| message(name, fields)).collect(),
        enum_type: file.enums.iter().map(|(name, values)| enumeration(name, values)).collect(),
        service: file.services.iter().map(|(name, methods)| service(name, methods)).collect(),
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    }
}

fn message(name: &str, fields: &[Field]) -> DescriptorProto {
    let one_of =
        fields.iter().find_map(|(_, _, kind)| if let Kind::OneOf(name, _) = kind { Some(*name) } else { None });
    DescriptorProto {
        name: Some(name.to_owned()),
        field: fields.iter().map(field).collect(),
        oneof_decl: one_of
            .map(|name| OneofDescriptorProto { name: Some(name.to_owned()), options: None })
            .into_iter()
            .collect(),
        ..DescriptorProto::default()
    }
}

fn field(&(name, number, kind): &Field) -> FieldDescriptorProto {
    let (of, type_name) = typed(kind);
    let label = if matches!(kind, Kind::Repeated(_)) { Label::Repeated } else { Label::Optional };
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        json_name: Some(json_name(name)),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(of.into()),
        type_name: type_name.map(str::to_owned),
        oneof_index: matches!(kind, Kind::OneOf(..)).then_some(0),
        ..FieldDescriptorProto::default()
    }
}

fn typed(kind: Kind) -> (Type, Option<&'static str>) {
    match kind {
        Kind::Text => (Type::String, None),
        Kind::Bytes => (Type::Bytes, None),
        Kind::Bool => (Type::Bool, None),
        Kind::Int64 => (Type::Int64, None),
        Kind::Uint32 => (Type::Uint32, None),
        Kind::Message(name) => (Type::Message, Some(name)),
        Kind::Enum(name) => (Type::Enum, Some(name)),
        Kind::Repeated(kind) | Kind::OneOf(_, kind) => typed(*kind),
    }
}

/// The name in JSON as compilers of schemas make it: a letter after `_` is a capital.
fn json_name(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        format!("{name}{}{rest}", initial.to_uppercase())
    })
}

fn enumeration(name: &str, values: &[(u32, &str)]) -> EnumDescriptorProto {
    let value = |(number, name): &(u32, &str)| EnumValueDescriptorProto {
        name: Some((*name).to_owned()),
        number: i32::try_from(*number).ok(),
        options: None,
    };
    EnumDescriptorProto {
        name: Some(name.to_owned()),
        value: values.iter().map(value).collect(),
        ..EnumDescriptorProto::default()
    }
}

fn service(name: &str, methods: &[Method]) -> ServiceDescriptorProto {
    let method = |&(name, request, reply): &Method| MethodDescriptorProto {
        name: Some(name.to_owned()),
        input_type: Some(request.to_owned()),
        output_type: Some(reply.to_owned()),
        ..MethodDescriptorProto::default()
    };
    ServiceDescriptorProto { name: Some(name.to_owned()), method: methods.iter().map(method).collect(), options: None }
}

#[cfg(test)]
pub(crate) mod tests;
