// A proxy that writes down what a client sends, byte for byte, and passes it on.
const http = require('node:http');

async function recorder(target) {
  const requests = [];
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', chunk => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      const { method, url, headers } = request;
      requests.push({ line: `${method} ${url}`, body: body.toString(), isSigned: 'authorization' in headers });
      const passed = http.request(target, { method, path: url, headers }, answer => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      passed.end(body);
    });
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  const close = () => new Promise(resolve => { server.close(resolve); server.closeAllConnections(); });
  return { host: `http://localhost:${server.address().port}`, requests, close };
}

module.exports = { recorder };
