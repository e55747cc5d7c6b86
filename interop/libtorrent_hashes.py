"""Prints the info hashes that libtorrent gives a path: `v1 HEX` and `v2 HEX`, a line each.

Usage: libtorrent_hashes.py PATH PIECE_LENGTH v1|v2|hybrid
"""
import os
import sys

import libtorrent as lt

path, piece_length, form = sys.argv[1:]
flags = {"v1": lt.create_torrent.v1_only, "v2": lt.create_torrent.v2_only, "hybrid": 0}[form]
storage = lt.file_storage()
lt.add_files(storage, path)
torrent = lt.create_torrent(storage, int(piece_length), flags)
lt.set_piece_hashes(torrent, os.path.dirname(path))
hashes = lt.torrent_info(lt.bencode(torrent.generate())).info_hashes()
if hashes.has_v1():
    print("v1", hashes.v1)
if hashes.has_v2():
    print("v2", hashes.v2)
