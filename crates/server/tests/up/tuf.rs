// SPDX-License-Identifier: Apache-2.0
//! The TUF repository over HTTP, walked by the independent client of crate `sigstore-tuf`.

use sigstore_tuf::Updater;
use sigstore_tuf::transport::{FetchFuture, Repository};
use touchmark_outbound::Limits;
use touchmark_sigstore::trust::{ClientTrustConfig, SigningConfig, TrustedRoot};
use url::Url;

use crate::stack::{Stack, outbound};

/// Fetches over HTTP; 404 is "there is none".
struct Mirror(String);

impl Mirror {
    async fn fetch(&self, path: String) -> Option<Vec<u8>> {
        let url = Url::parse(&format!("{}/{path}", self.0)).unwrap();
        let response = outbound().get(&url, &Limits::SERVICE).await.unwrap();
        (response.status == 200).then_some(response.body)
    }
}

impl Repository for Mirror {
    fn fetch_metadata<'a>(&'a self, name: &'a str, _max: u64) -> FetchFuture<'a> {
        Box::pin(async move { Ok(self.fetch(name.to_owned()).await) })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, _max: u64) -> FetchFuture<'a> {
        Box::pin(async move { Ok(self.fetch(format!("targets/{path}")).await) })
    }
}

/// What a client gets that was given `root`.
pub(crate) async fn walk(stack: &Stack, root: &[u8]) -> (TrustedRoot, SigningConfig) {
    let now = jiff::Timestamp::now();
    let mut client = Updater::new(Mirror(format!("{}/tuf", stack.running.url())), root).unwrap();
    client.refresh(now).await.unwrap();
    let trusted_root = client.get_target("trusted_root.json", now).await.unwrap();
    let signing_config = client.get_target("signing_config.v0.2.json", now).await.unwrap();
    (TrustedRoot::from_json(&trusted_root).unwrap(), SigningConfig::from_json(&signing_config).unwrap())
}

pub(crate) fn client_file(stack: &Stack, name: &str) -> Vec<u8> {
    std::fs::read(stack.running.client_directory().unwrap().join(name)).unwrap()
}

#[tokio::test]
async fn a_client_walks_from_the_root_file_to_the_same_documents_as_the_client_files() {
    let stack = Stack::start().await;
    let (trusted_root, signing_config) = walk(&stack, &client_file(&stack, "root.json")).await;
    assert_eq!(trusted_root.to_json().as_bytes(), client_file(&stack, "trusted_root.json"));
    assert_eq!(signing_config.to_json().as_bytes(), client_file(&stack, "signing_config.json"));
    assert!(trusted_root.unusable().is_empty());
    let both = ClientTrustConfig::from_json(&client_file(&stack, "client_trust_config.json")).unwrap();
    assert_eq!(both.trusted_root().to_json(), trusted_root.to_json());

    let services = signing_config.select(jiff::Timestamp::now()).unwrap();
    assert_eq!(services.ca.url(), stack.running.url());
    assert_eq!(services.rekor[0].url(), format!("{}/log/{}", stack.running.url(), stack.rekor_log()));
    assert_eq!(services.tsa[0].url(), format!("{}/api/v1/timestamp", stack.running.url()));
    assert_eq!(services.oidc.unwrap().url(), stack.running.oidc_issuer().unwrap());
    stack.stop().await;
}

#[tokio::test]
async fn the_trusted_root_is_what_the_strictest_clients_demand() {
    let stack = Stack::start().await;
    let root: serde_json::Value = serde_json::from_slice(&client_file(&stack, "trusted_root.json")).unwrap();
    assert_eq!(root["mediaType"], "application/vnd.dev.sigstore.trustedroot+json;version=0.1");
    let origin = stack.rekor_log();
    assert_eq!(root["tlogs"][0]["baseUrl"], format!("http://{origin}"));
    for (list, details) in [("tlogs", "PKIX_ED25519"), ("ctlogs", "PKIX_ECDSA_P256_SHA_256")] {
        let log = &root[list][0];
        assert_eq!(log["hashAlgorithm"], "SHA2_256");
        assert_eq!(log["publicKey"]["keyDetails"], details);
        assert!(log["publicKey"]["validFor"]["start"].is_string());
    }
    for list in ["certificateAuthorities", "timestampAuthorities"] {
        let chain = root[list][0]["certChain"]["certificates"].as_array().unwrap();
        assert_eq!(chain.len(), 2);
        assert!(root[list][0]["validFor"]["start"].is_string());
    }
    stack.stop().await;
}

#[tokio::test]
async fn files_have_their_cache_rules_and_only_repository_files_are_served() {
    let stack = Stack::start().await;
    let timestamp = stack.get("/tuf/timestamp.json").await;
    assert_eq!(timestamp.header("cache-control"), Some("no-cache"));
    assert!(stack.get("/tuf/1.root.json").await.header("cache-control").unwrap().contains("immutable"));
    for path in
        ["2.root.json", "root.json", "lock", "targets/", "targets/trusted_root.json", "..%2Finstance.toml", "%2e%2e/x"]
    {
        assert_eq!(stack.get(&format!("/tuf/{path}")).await.status, 404, "{path}");
    }
    stack.stop().await;
}
