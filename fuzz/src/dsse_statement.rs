// SPDX-License-Identifier: Apache-2.0
//! In-toto statements: accepted ones mean to another reader of JSON what they mean here, and each subject binds its own digests.

use serde_json::Value;
use touchmark_sigstore::intoto::Statement;

pub fn check(data: &[u8]) {
    let Ok(statement) = Statement::parse(data) else { return };
    let other: Value = serde_json::from_slice(data).expect("what is accepted is JSON");
    assert_eq!(other["predicateType"], Value::from(statement.predicate_type()));
    let names: Vec<Value> = statement.subjects().iter().map(|subject| Value::from(subject.name())).collect();
    let others: Vec<Value> = other["subject"].as_array().into_iter().flatten().map(name_of).collect();
    assert_eq!(names, others);
    if statement.predicate_json().is_some()
        && let Ok(predicate) = statement.predicate()
    {
        assert_eq!(predicate, other["predicate"]);
    }
    for subject in statement.subjects().iter().filter(|subject| !subject.digests().is_empty()) {
        statement.bind(subject.digests()).expect("a subject binds its own digests");
    }
}

fn name_of(subject: &Value) -> Value {
    subject.get("name").filter(|name| !name.is_null()).cloned().unwrap_or_else(|| Value::from(""))
}
