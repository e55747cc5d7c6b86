//! Stories of downloads from web servers, told through the built program.

mod world;

use std::net::SocketAddr;

use world::{World, noise, stderr, stdout, web};

const FILES: [(&str, usize); 4] =
    [("read me.txt", 70_000), ("empty", 0), ("bilder/größe 1.png", 300_000), ("bilder/z#%.bin", 1_000_000)];

/// A folder with odd names on a web server, and its torrent, which names that server, in another folder.
fn site() -> (World, SocketAddr) {
    let world = World::new();
    for (path, length) in FILES {
        world.write(&format!("site/my dist/{path}"), noise(length));
    }
    let at = web::serve(world.path("site"));
    let mut create =
        world.command(["create", "site/my dist", "-o", "site/dist.torrent", "--piece-length", "64KiB"]);
    assert!(create.args(["-w", &format!("http://{at}/")]).output().unwrap().status.success());
    (world, at)
}

fn assert_got(world: &World, folder: &str) {
    for (path, length) in FILES {
        assert_eq!(world.read(&format!("{folder}/my dist/{path}")), noise(length), "{path}");
    }
}

#[test]
fn a_torrent_from_a_local_server_is_fetched_from_that_server_alone() {
    let (world, at) = site();
    let got = world.run(&format!("get http://{at}/dist.torrent -d here --progress json")).success();
    assert_got(&world, "here");
    let complete = stdout(&got).lines().any(|line| line.contains(r#""event":"complete""#));
    assert!(complete, "{}", stdout(&got));
}

#[test]
fn a_web_server_that_the_user_names_may_be_anywhere() {
    let (world, at) = site();
    let refused = world.run("get site/dist.torrent -d here").code(6);
    let said = stderr(&refused);
    assert!(said.contains("nobody is left to fetch my dist from"), "{said}");
    assert!(said.contains("127.0.0.1 is not a public address; --allow-local permits it"), "{said}");
    world.run(&format!("get site/dist.torrent -d here -w http://{at}/")).success();
    assert_got(&world, "here");
    let link = stdout(&world.run("magnet site/dist.torrent").success());
    assert!(link.contains("ws=http"), "{link}");
}

#[test]
fn a_server_that_has_not_got_it_is_named_in_the_error() {
    let (world, at) = site();
    std::fs::remove_dir_all(world.path("site/my dist")).unwrap();
    let failed = world.run(&format!("get http://{at}/dist.torrent -d here")).code(6);
    let said = stderr(&failed);
    assert!(said.contains(&format!("1 web seed tried: http://{at}/ (HTTP status 404)")), "{said}");
}

#[test]
fn what_is_no_url_of_a_web_server_is_refused() {
    let (world, _) = site();
    world.run("get site/dist.torrent -d here -w nonsense").code(2);
}

/// A server over TLS whose certificate is its own; where.
fn self_signed() -> SocketAddr {
    let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config =
        config.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key).unwrap();
    let config = std::sync::Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut tls = rustls::ServerConnection::new(config.clone()).unwrap();
            // The client hangs up when it has seen the certificate.
            let _refused = tls.complete_io(&mut stream);
        }
    });
    at
}

// S-26
#[test]
fn a_server_that_cannot_prove_who_it_is_is_refused_with_the_reason_and_the_way_out() {
    let (world, _) = site();
    let at = self_signed();
    for line in
        [format!("get https://{at}/x.torrent"), format!("get site/dist.torrent -d here -w https://{at}/")]
    {
        let said = stderr(&world.run(&line).code(6));
        let cause = "the certificate of 127.0.0.1 is of an issuer that is not trusted";
        assert!(said.contains(cause), "{line}: {said}");
        assert!(said.contains("hint: ") && said.contains("--ca-file FILE"), "{line}: {said}");
    }
}
