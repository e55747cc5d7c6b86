"""A libtorrent peer for the interop runs: seeds or fetches one torrent, says `complete` and the payload bytes received, then stays until it is ended.

Usage: libtorrent_peer.py TORRENT FOLDER ADDRESS PORT UPLOAD_LIMIT ENCRYPTION

The limit is in bytes a second; 0: none. Encryption: `allow`, or `require`, all bytes and in both directions.
"""
import sys

import libtorrent as lt

torrent, folder, address, port, upload, encryption = sys.argv[1:]
session = lt.session({
    "listen_interfaces": f"{address}:{port}",
    "outgoing_interfaces": address,
    "upload_rate_limit": int(upload),
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "enable_incoming_utp": False, "enable_outgoing_utp": False,
    "allow_multiple_connections_per_ip": True,
    "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.storage_notification
    | lt.alert.category_t.error_notification | lt.alert.category_t.tracker_notification,
})
if encryption == "require":
    session.apply_settings({
        "in_enc_policy": int(lt.enc_policy.pe_forced), "out_enc_policy": int(lt.enc_policy.pe_forced),
        "allowed_enc_level": int(lt.enc_level.pe_rc4),
    })
params = lt.add_torrent_params()
params.ti = lt.torrent_info(torrent)
params.save_path = folder
handle = session.add_torrent(params)
while True:
    session.wait_for_alert(1000)
    for alert in session.pop_alerts():
        if isinstance(alert, lt.torrent_finished_alert):
            handle.flush_cache()
        elif isinstance(alert, lt.cache_flushed_alert):
            print("complete", handle.status().total_payload_download, flush=True)
        else:
            print(alert.message(), file=sys.stderr, flush=True)
