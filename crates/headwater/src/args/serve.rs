//! Flags of the servers: `track` and `publish`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{FormatArg, Net};
use crate::units::{parse_duration, parse_rate};

/// Run a tracker
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "Examples:
  headwater track                                  for this machine, on port 6969
  headwater track --http 0.0.0.0:6969              for everybody who can reach it
  headwater track --http [::]:6969 --allow mine.txt
  headwater track --https [::]:443 --acme tracker.example.org
The lists have one info hash in hex a line; SIGHUP reads them again, and the certificate.")]
pub(crate) struct Track {
    /// Address to serve HTTP on [default without --https: 127.0.0.1:6969]
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<String>,
    /// Serve only the info hashes of this file
    #[arg(long, value_name = "FILE", conflicts_with = "deny")]
    pub(crate) allow: Option<PathBuf>,
    /// Refuse the info hashes of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) deny: Option<PathBuf>,
    /// How often peers shall return
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) interval: Option<Duration>,
    /// Believe X-Forwarded-For from proxies in this network; may be repeated
    #[arg(long, value_name = "CIDR")]
    pub(crate) trust_proxy: Vec<String>,
    /// UDP (not supported)
    #[arg(long, value_name = "ADDR", hide = true)]
    pub(crate) udp: Option<String>,
    /// Without WebSocket, as always
    #[arg(long, hide = true)]
    pub(crate) no_ws: bool,
    /// Worker threads (not supported)
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) workers: Option<usize>,
    /// Where to keep peers (only memory is supported)
    #[arg(long, value_name = "WHERE", hide = true)]
    pub(crate) store: Option<String>,
    /// Address of the statistics page (not supported)
    #[arg(long, value_name = "ADDR", hide = true)]
    pub(crate) admin: Option<String>,
    #[command(flatten)]
    pub(crate) tls: Tls,
}

/// HTTPS: where, and whose certificate.
#[derive(Clone, Debug, Default, Args)]
#[expect(clippy::struct_field_names, reason = "the fields are named as their flags")]
pub(crate) struct Tls {
    /// Address to serve HTTPS on, with --tls-cert, --acme or --tls-self-signed
    #[arg(long, value_name = "ADDR")]
    pub(crate) https: Option<String>,
    /// Certificate and its chain in PEM; read again when the file changes
    #[arg(long, value_name = "FILE", requires = "https", conflicts_with_all = ["acme", "tls_self_signed"])]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM [default: in the file of --tls-cert]
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Make a certificate that nobody vouches for
    #[arg(long, requires = "https", conflicts_with = "acme")]
    pub(crate) tls_self_signed: bool,
    /// Get a certificate for this domain, whose port 443 must lead here; may be repeated
    #[arg(long, value_name = "DOMAIN", requires = "https", value_delimiter = ',')]
    pub(crate) acme: Vec<String>,
    /// Who is told by mail of trouble with the certificate
    #[arg(long, value_name = "MAILTO", requires = "acme")]
    pub(crate) acme_contact: Option<String>,
    /// The ACME directory of who gives the certificate [default: Let's Encrypt]
    #[arg(long, value_name = "URL", requires = "acme")]
    pub(crate) acme_directory: Option<String>,
    /// Trust only the authorities of this file to run the ACME directory
    #[arg(long, value_name = "FILE", requires = "acme")]
    pub(crate) acme_ca_file: Option<PathBuf>,
}

/// Publish files: page, torrents, tracker and origin in one
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "Examples:
  headwater publish disk.img                       for this machine, to try it
  headwater publish dist/ --http 0.0.0.0:8080 --url http://files.example.org:8080
  headwater publish dist/ --https 0.0.0.0:443 --http 0.0.0.0:80 --acme files.example.org
  headwater publish --watch /srv/drop              whatever is dropped into the folder
  headwater publish dist/ --export /var/www/dist --url https://www.example.org/dist
It prints the address of the page and the line that downloads. Each byte is sent about once: when the crowd holds enough
copies the origin falls silent, and it is back when they become fewer. SIGHUP looks at the paths, the intro and the theme
again.")]
pub(crate) struct Publish {
    /// Files, folders or torrents to publish; with --watch, folders whose entries are published
    #[arg(value_name = "PATH|TORRENT", required = true)]
    pub(crate) source: Vec<PathBuf>,
    /// The address people reach this server by [default: that of --https or --http]
    #[arg(long, value_name = "PUBLIC_URL")]
    pub(crate) url: Option<String>,
    /// Address to serve HTTP on [default: 127.0.0.1:8080, or the next free port]
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<String>,
    /// Which hashes to write; every client reads v1
    #[arg(long, value_enum, default_value_t = FormatArg::V1)]
    pub(crate) format: FormatArg,
    /// Title of the page [default: the release's name, or Downloads]
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,
    /// Text of the page: paragraphs, headings, lists, links, emphasis in Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) intro: Option<PathBuf>,
    /// Folder with templates and assets in place of ours
    #[arg(long, value_name = "DIR")]
    pub(crate) theme: Option<PathBuf>,
    /// Publish what appears in the folders named, and withdraw what leaves them
    #[arg(long)]
    pub(crate) watch: bool,
    /// Write the site as plain files for another web server, and exit
    #[arg(long, value_name = "DIR", conflicts_with = "watch")]
    pub(crate) export: Option<PathBuf>,
    /// Announce address that exported torrents name [default: port 6969 of the host in --url]; may be repeated
    #[arg(long, value_name = "URL", requires = "export")]
    pub(crate) tracker: Vec<String>,
    /// Replace what is in the way of --export
    #[arg(long, requires = "export")]
    pub(crate) force: bool,
    /// Without a tracker of its own: the torrents' trackers alone
    #[arg(long)]
    pub(crate) no_tracker: bool,
    /// Copies among peers at which the origin falls silent; 0: never, and no piece is held back
    #[arg(long, value_name = "K", default_value_t = 3)]
    pub(crate) copies: u32,
    /// What a gigabyte of your traffic costs: the receipt counts money too
    #[arg(long, value_name = "PRICE", value_parser = parse_price)]
    pub(crate) price_per_gb: Option<f64>,
    /// Most to upload to peers per second
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) limit_upload: Option<u64>,
    /// Believe X-Forwarded-For from proxies in this network; may be repeated
    #[arg(long, value_name = "CIDR")]
    pub(crate) trust_proxy: Vec<String>,
    #[command(flatten)]
    pub(crate) tls: Tls,
    #[command(flatten)]
    pub(crate) net: Net,
}

pub(crate) fn parse_price(text: &str) -> Result<f64, String> {
    let price: Option<f64> = text.parse().ok().filter(|price: &f64| price.is_finite() && *price >= 0.0);
    price.ok_or_else(|| format!("`{text}` is not a price; write for example 0.09"))
}
