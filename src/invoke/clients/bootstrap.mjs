// Finds and calls a handler as Lambda's runtime interface client for Node.js does: CommonJS and modules, promises,
// callbacks (before Node.js 24) and streams.

import http from 'node:http';
import fs from 'node:fs';
import path from 'node:path';
import { createRequire, Module } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Writable } from 'node:stream';

const env = process.env;
const root = env.LAMBDA_TASK_ROOT;
const [host, port] = env.AWS_LAMBDA_RUNTIME_API.split(':');
const api = '/2018-06-01/runtime';
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const major = Number((env.AWS_EXECUTION_ENV ?? '').match(/nodejs(\d+)/)?.[1] ?? process.versions.node.split('.')[0]);
const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');

// Packages that this machine has for everybody are not on Lambda.
const folders = new Set((env.NODE_PATH ?? '').split(':').filter(Boolean));
const lookup = Module._resolveLookupPaths;
if (lookup) {
  Module._resolveLookupPaths = (request, parent) => {
    const found = lookup.call(Module, request, parent);
    const isOurs = (p) => [root, env.LAMBDA_RUNTIME_DIR, ...folders].some((f) => p === f || p.startsWith(f + '/')) || p.startsWith('/opt/');
    return found && (request.startsWith('.') ? found : found.filter(isOurs));
  };
}

class Fault extends Error {
  constructor(kind, message) {
    super(message);
    this.name = kind;
  }
}

globalThis.awslambda = {
  streamifyResponse: (handler, options) => {
    handler[STREAMING] = 'response';
    if (typeof options?.highWaterMark !== 'undefined') handler[HIGH_WATER_MARK] = parseInt(options.highWaterMark);
    return handler;
  },
  HttpResponseStream: class {
    static from(stream, prelude) {
      stream.setContentType('application/vnd.awslambda.http-integration-response');
      const text = JSON.stringify(prelude);
      stream._onBeforeFirstWrite = (write) => {
        write(text);
        write(new Uint8Array(8)); // ends the prelude
      };
      return stream;
    }
  },
};

function request(method, target, headers, body) {
  return new Promise((resolve, reject) => {
    const call = http.request({ host, port, method, path: api + target, headers, agent }, (answer) => {
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts).toString() }));
      answer.on('error', reject);
    });
    call.on('error', reject);
    call.end(body);
  });
}

function document(error) {
  if (error instanceof Error || (error && typeof error === 'object' && 'stack' in error && 'message' in error)) {
    return { errorType: String(error.name), errorMessage: String(error.message), trace: String(error.stack).split('\n') };
  }
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
}

function fail(target, error) {
  const told = document(error);
  const headers = { 'Content-Type': 'application/json', 'Lambda-Runtime-Function-Error-Type': told.errorType.replace(/[^\x20-\x7e]/g, '?') };
  return request('POST', target, headers, JSON.stringify(told));
}

async function load(file) {
  const relative = path.relative(root, file);
  const isFile = (p) => fs.existsSync(p) && fs.statSync(p).isFile();
  const require = createRequire(path.join(env.LAMBDA_RUNTIME_DIR, 'index.mjs'));
  try {
    const isModule = () => {
      for (let folder = path.dirname(file); folder.startsWith(root); folder = path.dirname(folder)) {
        const manifest = path.join(folder, 'package.json');
        if (isFile(manifest)) return JSON.parse(fs.readFileSync(manifest)).type === 'module';
      }
      return false;
    };
    if (isFile(file)) return require(file);
    if (isFile(file + '.js')) return isModule() ? await import(pathToFileURL(file + '.js').href) : require(file + '.js');
    if (isFile(file + '.mjs')) return await import(pathToFileURL(file + '.mjs').href);
    if (isFile(file + '.cjs')) return require(file + '.cjs');
    // A layer may bring it.
    return require(require.resolve(relative, { paths: [root, ...folders] }));
  } catch (error) {
    if (error instanceof SyntaxError) throw new Fault('Runtime.UserCodeSyntaxError', `SyntaxError: ${error.message}`);
    if (error?.code === 'MODULE_NOT_FOUND' || error?.code === 'ERR_MODULE_NOT_FOUND') {
      throw new Fault('Runtime.ImportModuleError', `Error: ${error.message}`);
    }
    throw error;
  }
}

async function find(handler) {
  if (handler.includes('..')) throw new Fault('Runtime.MalformedHandlerName', `'${handler}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  const base = path.basename(handler);
  const match = base.match(/^([^.]*)\.(.*)$/);
  if (!match) throw new Fault('Runtime.MalformedHandlerName', 'Bad handler');
  const [, file, name] = match;
  const place = handler.slice(0, handler.length - base.length);
  let module = await load(path.resolve(root, place, file));
  const pick = (from) => name.split('.').reduce((value, key) => value?.[key], from);
  let found = pick(module);
  if (typeof found === 'undefined' && module.default) found = pick(module.default);
  if (typeof found === 'undefined') throw new Fault('Runtime.HandlerNotFound', `${handler} is undefined or not exported`);
  if (typeof found !== 'function') throw new Fault('Runtime.HandlerNotFound', `${handler} is not a function`);
  if (major >= 24 && !found[STREAMING] && found.length >= 3) {
    throw new Fault(
      'Runtime.CallbackHandlerDeprecated',
      'AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. You need to modify this function to use a supported handler signature to use Node.js 24 or later.',
    );
  }
  return found;
}

let current = '';
for (const [method, level] of [['log', 'INFO'], ['info', 'INFO'], ['debug', 'DEBUG'], ['warn', 'WARN'], ['error', 'ERROR'], ['trace', 'TRACE']]) {
  const { format } = await import('node:util');
  console[method] = (...words) => {
    process.stdout.write(`${new Date().toISOString()}\t${current || 'undefined'}\t${level}\t${format(...words)}\n`);
  };
}

function context(headers) {
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  const parse = (text) => (text ? JSON.parse(text) : undefined);
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: parse(headers['lambda-runtime-client-context']),
    identity: parse(headers['lambda-runtime-cognito-identity']),
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    tenantId: headers['lambda-runtime-aws-tenant-id'],
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

/** Calls a handler that answers once; `emptied` is called when nothing is left to do and it has not. */
let emptied = null;
process.on('beforeExit', () => emptied?.());

function call(handler, event, ctx) {
  return new Promise((resolve, reject) => {
    emptied = () => resolve(null);
    const done = (error, value) => {
      if (typeof error !== 'undefined' && error !== null) return reject(error);
      // What is left to do is waited for, unless the function says otherwise.
      if (ctx.callbackWaitsForEmptyEventLoop) emptied = () => resolve(value);
      else resolve(value);
    };
    if (major < 24) {
      ctx.done = done;
      ctx.succeed = (value) => resolve(value);
      ctx.fail = (error) => reject(error ?? 'handled');
    }
    let result;
    try {
      result = major < 24 ? handler(event, ctx, done) : handler(event, ctx);
    } catch (error) {
      return reject(error);
    }
    if (result && typeof result.then === 'function') return result.then(resolve, reject);
    if (major >= 24 || handler.length < 3) {
      // Neither a promise nor a callback: it may still call one.
      if (typeof result !== 'undefined' && major >= 24) resolve(result);
    }
  });
}

function stream(id) {
  let call, type = 'application/octet-stream', answered;
  const finished = new Promise((resolve) => (answered = resolve));
  const open = () => {
    call ??= http.request({
      host, port, method: 'POST', path: `${api}/invocation/${id}/response`, agent: false,
      headers: {
        'Content-Type': type,
        'Lambda-Runtime-Function-Response-Mode': 'streaming',
        'Transfer-Encoding': 'chunked',
        Trailer: ['Lambda-Runtime-Function-Error-Type', 'Lambda-Runtime-Function-Error-Body'],
      },
    }, (answer) => answer.resume().on('end', answered)).on('error', answered);
    return call;
  };
  let isFirst = true;
  const before = () => {
    if (isFirst) out._onBeforeFirstWrite?.((part) => open().write(part));
    isFirst = false;
  };
  const out = new Writable({
    write(chunk, encoding, done) {
      before();
      open().write(chunk, encoding, done);
    },
    final(done) {
      before();
      open().end();
      done();
    },
  });
  const write = out.write.bind(out);
  // Lambda's stream takes what is no text as JSON.
  out.write = (chunk, ...rest) => {
    const isPlain = typeof chunk === 'string' || chunk instanceof Uint8Array;
    return write(isPlain ? chunk : JSON.stringify(chunk), ...rest);
  };
  out.setContentType = (value) => (type = value);
  out.fail = (error) => {
    const told = document(error);
    open().addTrailers({
      'Lambda-Runtime-Function-Error-Type': told.errorType,
      'Lambda-Runtime-Function-Error-Body': Buffer.from(JSON.stringify(told)).toString('base64'),
    });
    open().end();
  };
  out.finished = finished;
  return out;
}

async function answerStream(handler, event, ctx) {
  const out = stream(ctx.awsRequestId);
  try {
    await handler(event, out, ctx);
    if (!out.writableEnded) out.end();
  } catch (error) {
    console.error('Invoke Error', JSON.stringify(document(error)));
    out.fail(error);
  }
  await out.finished;
}

async function answer(handler, next) {
  const ctx = context(next.headers);
  current = ctx.awsRequestId;
  env._X_AMZN_TRACE_ID = next.headers['lambda-runtime-trace-id'] ?? '';
  const event = JSON.parse(next.body);
  if (handler[STREAMING]) return answerStream(handler, event, ctx);
  try {
    const value = await call(handler, event, ctx);
    emptied = null;
    let text;
    try {
      text = JSON.stringify(value === undefined ? null : value);
    } catch {
      throw new Error('Unable to stringify response body');
    }
    await request('POST', `/invocation/${current}/response`, { 'Content-Type': 'application/json' }, text ?? 'null');
  } catch (error) {
    emptied = null;
    console.error('Invoke Error', '\t' + JSON.stringify(document(error)));
    await fail(`/invocation/${current}/error`, error);
  }
}

async function crash(kind, error, code) {
  const told = kind ? Object.assign(new Fault(kind, String(error)), { stack: `${kind}: ${String(error)}\n${error?.stack ?? ''}` }) : error;
  console.error(kind ? 'Unhandled Promise Rejection' : 'Uncaught Exception', '\t' + JSON.stringify(document(told)));
  await fail(current ? `/invocation/${current}/error` : '/init/error', told).catch(() => {});
  process.exit(code);
}
process.on('unhandledRejection', (reason) => crash('Runtime.UnhandledPromiseRejection', reason, 128));
process.on('uncaughtException', (error) => crash(null, error, 129));

let handler;
try {
  handler = await find(env._HANDLER);
} catch (error) {
  console.error('Uncaught Exception', '\t' + JSON.stringify(document(error)));
  await fail('/init/error', error);
  process.exit(1);
}
for (;;) {
  const next = await request('GET', '/invocation/next');
  if (next.status !== 200) process.exit(1);
  await answer(handler, next);
}
