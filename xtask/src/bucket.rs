// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust push` to a store of others: moto's S3, which checks signatures and permissions.
//!
//! In scope: that a foreign reader finds the repository there and our client walks it, and that wrong credentials write nothing. Out of scope:
//! interruptions and conditions, which the tests of the command line look at.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::clients::debug_binary;
use crate::interop::free_port;
use crate::keys_elsewhere::{Running, await_true, moto};
use crate::process::{output, quiet};

/// The calls of [`SETUP`]; moto checks every call after them.
const SETUP_CALLS: &str = "4";
const REGION: &str = "eu-west-1";

pub(crate) fn steps(repository: &Path, home: &Path) -> Result<usize> {
    let moto = moto()?;
    let port = free_port()?;
    let log = std::fs::File::create(home.join("moto-s3.log")).context("cannot make moto-s3.log")?;
    let mut server = Command::new(moto.join("bin/moto_server"));
    server.args(["-H", "127.0.0.1", "-p", &port.to_string()]).env("INITIAL_NO_AUTH_ACTION_COUNT", SETUP_CALLS);
    server.stdin(Stdio::null()).stdout(log.try_clone().context("moto-s3.log")?).stderr(log);
    let _running = Running(server.spawn().context("cannot start moto_server")?);
    await_true("moto listens", || Ok(TcpStream::connect(("127.0.0.1", port)).is_ok()))?;
    let endpoint = format!("http://127.0.0.1:{port}");
    let python = |script: &str, arguments: &[&str]| {
        let path = home.join("bucket.py");
        std::fs::write(&path, script).context("cannot write a script")?;
        quiet(Command::new(moto.join("bin/python")).arg(&path).arg(&endpoint).args(arguments))
    };
    let made = python(SETUP, &[])?;
    let mut made = made.split_whitespace();
    let (id, secret) = (made.next().context("an access key")?, made.next().context("a secret")?);
    let push = |secret: &str| {
        let mut command = Command::new(debug_binary("touchmark"));
        command.args(["trust", "push"]).arg(repository).args(["--to", "s3://trust/tuf", "--s3-endpoint", &endpoint]);
        command.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret).env("AWS_REGION", REGION);
        output(&mut command)
    };
    let refused = push("not the secret")?;
    ensure!(refused.status.code() == Some(3), "a wrong secret: {}", refused.status);
    for expect in ["files are new in", "has everything already"] {
        let pushed = push(secret)?;
        let said = String::from_utf8_lossy(&pushed.stderr).into_owned();
        ensure!(pushed.status.success() && said.contains(expect), "push: {}\n{said}", pushed.status);
    }
    let fetched = home.join("fetched");
    python(FETCH, &[id, secret, &fetched.to_string_lossy()])?;
    let mut verify = Command::new(debug_binary("touchmark"));
    quiet(verify.args(["trust", "verify"]).arg(&fetched).arg("--root").arg(repository.join("1.root.json")))?;
    println!("interop: the repository was pushed to S3 (moto) and walked from there");
    Ok(3)
}

/// A user who may use a bucket; prints his access key.
const SETUP: &str = r#"
import boto3, json, sys
options = dict(endpoint_url=sys.argv[1], region_name="eu-west-1", aws_access_key_id="setup", aws_secret_access_key="setup")
iam, s3 = boto3.client("iam", **options), boto3.client("s3", **options)
iam.create_user(UserName="publisher")
key = iam.create_access_key(UserName="publisher")["AccessKey"]
document = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})
iam.put_user_policy(UserName="publisher", PolicyName="push", PolicyDocument=document)
s3.create_bucket(Bucket="trust", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
print(key["AccessKeyId"], key["SecretAccessKey"])
"#;

/// Everything in the bucket, into a directory; what is cached how is looked at on the way.
const FETCH: &str = r#"
import boto3, os, sys
endpoint, key, secret, place = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=endpoint, region_name="eu-west-1", aws_access_key_id=key, aws_secret_access_key=secret)
for item in s3.list_objects_v2(Bucket="trust")["Contents"]:
    found = s3.get_object(Bucket="trust", Key=item["Key"])
    name = item["Key"].removeprefix("tuf/")
    assert found["CacheControl"] == ("no-cache" if name == "timestamp.json" else "public, max-age=31536000, immutable"), name
    path = os.path.join(place, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(found["Body"].read())
"#;
