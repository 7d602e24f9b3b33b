"""Web servers and a Jupyter kernel under `python` and under `python -m oneloom`: each answers, and ends when told.

`make packages` runs this as well. Each is started both ways, is asked for a page or to run cells, and is ended by
Ctrl-C or its own shutdown. What it answers must be the same, but for whose locks it says that it has. Needs the
network, for pip.
"""

import os
import queue
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from packages import FOLDER, RUNNERS, environment, heed_interrupt, variables

REQUIREMENTS = [
    *("waitress==3.0.2", "flask==3.1.1", "werkzeug==3.1.3", "uvicorn==0.34.2", "hypercorn==0.17.3"),
    *("ipykernel==6.29.5", "jupyter_client==8.6.3"),
]
DEADLINE = 60.0

APPLICATIONS = '''
import asyncio
import queue
import threading

import flask

of_flask = flask.Flask(__name__)


@of_flask.route("/")
def page():
    jobs = queue.Queue()
    thread = threading.Thread(target=jobs.put, args=("an item",))
    thread.start()
    answer = f"{jobs.get()} {type(threading.RLock()).__module__}"
    thread.join()
    return answer


def of_wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [page().encode()]


async def of_asgi(scope, receive, send):
    if scope["type"] == "http":
        jobs = asyncio.Queue()
        await jobs.put("an item")
        module = await asyncio.to_thread(lambda: type(threading.RLock()).__module__)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"{await jobs.get()} {module}".encode()})
'''

SERVERS = {
    "http.server": "http.server --bind 127.0.0.1 PORT",
    "waitress": "waitress --listen=127.0.0.1:PORT applications:of_wsgi",
    "flask": "flask --app applications:of_flask run --port PORT",
    "flask that reloads": "flask --app applications:of_flask run --port PORT --reload",
    "uvicorn": "uvicorn applications:of_asgi --port PORT",
    "uvicorn with two workers": "uvicorn applications:of_asgi --port PORT --workers 2",
    "hypercorn": "hypercorn applications:of_asgi --bind 127.0.0.1:PORT",
    "hypercorn with two workers": "hypercorn applications:of_asgi --bind 127.0.0.1:PORT -w 2",
}

CELLS = [
    "import threading, queue, asyncio\njobs = queue.Queue()\nthread = threading.Thread(target=jobs.put, args=(42,))",
    "thread.start(); thread.join()\njobs.get()",
    "jobs = asyncio.Queue()\nawait jobs.put('awaited')\nawait jobs.get()",
    "import concurrent.futures\nwith concurrent.futures.ThreadPoolExecutor(2) as pool: print(*pool.map(abs, [-1]))",
    "threading.RLock().release()",
    "type(threading.RLock()).__module__",
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def answer_of_server(python, runner, arguments):
    """What the server says to a request; it must then end by Ctrl-C."""
    port = free_port()
    command = [python, *RUNNERS[runner], "-m", *arguments.replace("PORT", port).split()]
    output = FOLDER / "servers" / "output"
    with output.open("wb") as file:
        options = {"cwd": output.parent, "env": variables(), "start_new_session": True, "preexec_fn": heed_interrupt}
        server = subprocess.Popen(command, stdout=file, stderr=file, **options)
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        end = time.monotonic() + DEADLINE
        while True:
            try:
                body = opener.open(f"http://127.0.0.1:{port}/", timeout=DEADLINE).read()
                break
            except urllib.error.URLError:  # It does not listen yet.
                if server.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.1)
        os.killpg(server.pid, signal.SIGINT)  # As a terminal would: to every process of the server.
        status = server.wait(DEADLINE)
    except BaseException:
        print(output.read_text(), file=sys.stderr)
        raise
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
    return body, status, "Traceback" in output.read_text()


def answers_of_kernel(python, runner):
    """What the cells show in a kernel: streams, results and errors."""
    sys.path.append(str(next((python.parent.parent / "lib").glob("python*")) / "site-packages"))
    from jupyter_client import KernelManager
    from jupyter_client.kernelspec import KernelSpec

    manager = KernelManager()
    arguments = [str(python), *RUNNERS[runner], "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager._kernel_spec = KernelSpec(argv=arguments, display_name="Python", language="python")
    manager.start_kernel(env=variables())
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=DEADLINE)
    shown = []

    def show(message):
        content = message["content"]
        match message["msg_type"]:
            case "stream":
                shown.append(content["text"])
            case "execute_result":
                shown.append(content["data"]["text/plain"])
            case "error":
                shown.append((content["ename"], content["evalue"]))

    try:
        for cell in CELLS:
            client.execute_interactive(cell, output_hook=show, timeout=DEADLINE)
        client.execute("threading.Event().wait()")
        while client.get_iopub_msg(timeout=DEADLINE)["msg_type"] != "execute_input":
            pass
        manager.interrupt_kernel()
        shown.append(client.get_shell_msg(timeout=DEADLINE)["content"]["ename"])
    except queue.Empty:
        shown.append("no answer")
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    return shown


def main():
    python = environment("servers", REQUIREMENTS)
    (FOLDER / "servers").mkdir(exist_ok=True)
    (FOLDER / "servers" / "applications.py").write_text(APPLICATIONS)
    jobs = {name: lambda runner, text=text: answer_of_server(python, runner, text) for name, text in SERVERS.items()}
    jobs["jupyter's kernel"] = lambda runner: answers_of_kernel(python, runner)
    wrong = 0
    for name, job in jobs.items():
        plain, ours = (str(job(runner)) for runner in RUNNERS)
        # Where an answer names the module of a lock, it must be the right one.
        same = plain.replace("_thread", "oneloom.threading") == ours
        wrong += not same
        print(f"{name}: {'the same' if same else f'{plain} and with oneloom {ours}'}", flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
