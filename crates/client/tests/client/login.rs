// SPDX-License-Identifier: Apache-2.0
//! The browser flow against the real try-out issuer, and a signature with the token that it brings.

use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use touchmark_client::identity::browser;
use touchmark_client::sign::{Subject, certify, sign};
use touchmark_outbound::Limits;
use url::Url;

use crate::support::{ALICE, Instance, artifact};

#[tokio::test]
async fn a_browser_login_leads_to_a_signature() {
    let instance = Instance::start().await;
    let outbound = instance.outbound.clone();
    let issuer = instance.issuer();
    let token = browser::login(&outbound, &issuer, "sigstore", |url| {
        let (url, outbound) = (url.clone(), instance.outbound.clone());
        tokio::spawn(async move {
            let back = log_in(&url).await;
            outbound.get(&back, &Limits::SERVICE).await.unwrap();
        });
    })
    .await
    .unwrap();
    token.check_time(Timestamp::now()).unwrap();
    assert_eq!(token.claims().display_name(), ALICE);
    let signing = instance.signing(&instance.services);
    let credential = certify(&signing, &token).await.unwrap();
    sign(&signing, &credential, Subject::Artifact(&artifact("by browser"))).await.unwrap();
}

/// Sends the login form as a browser would, and says where the issuer sends it then. `Outbound` tells no redirects.
async fn log_in(page: &Url) -> Url {
    let form =
        url::form_urlencoded::Serializer::new(page.query().unwrap().to_owned()).append_pair("email", ALICE).finish();
    let address = page.socket_addrs(|| None).unwrap()[0];
    let mut stream = TcpSocket::new_v4().unwrap().connect(address).await.unwrap();
    let request = format!(
        "POST {} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{form}",
        page.path(),
        form.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    let location = reply
        .lines()
        .find_map(|line| line.to_ascii_lowercase().starts_with("location: ").then(|| line[10..].to_owned()));
    let location = location.unwrap_or_else(|| panic!("no redirect: {reply}"));
    // The listener is on IPv4 alone; a browser tries both.
    Url::parse(&location.replace("//localhost:", "//127.0.0.1:")).unwrap()
}
