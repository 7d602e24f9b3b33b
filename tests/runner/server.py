"""A server with a thread for each request, and its clients."""
import http.server
import threading
import urllib.request


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.path} {threading.current_thread() is threading.main_thread()}".encode())

    def log_message(self, *_):
        pass


with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for path in ("/one", "/two"):
        with opener.open(f"http://127.0.0.1:{server.server_port}{path}", timeout=30) as answer:
            print(answer.status, answer.read())
    server.shutdown()
    serving.join()
