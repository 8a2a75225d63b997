exports.handler = async event => {
  const { method } = event.requestContext.http;
  console.log(`${method} ${event.rawPath}`);
  if (event.rawPath === '/broken') {
    return { statusCode: 999 };
  }
  if (event.rawPath === '/raises') {
    throw new TypeError('no such valve');
  }
  return {
    statusCode: 200,
    body: { method, path: event.rawPath, query: event.rawQueryString, body: event.body, snake_key: 1 },
  };
};
