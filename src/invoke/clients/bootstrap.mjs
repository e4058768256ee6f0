// Finds and calls a handler as Lambda's runtime interface client for Node.js does: as version 3.3.0 of aws-lambda-ric before
// Node.js 24, as version 4.0.2 from there on. The latter knows no callbacks, and leaves what nobody catches to Node.js.

import http from 'node:http';
import fs from 'node:fs';
import path from 'node:path';
import net from 'node:net';
import util from 'node:util';
import { createRequire, Module } from 'node:module';
import { pathToFileURL } from 'node:url';

const env = process.env;
const root = env.LAMBDA_TASK_ROOT;
const [host, port] = env.AWS_LAMBDA_RUNTIME_API.split(':');
const api = '/2018-06-01/runtime';
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const major = Number((env.AWS_EXECUTION_ENV ?? '').match(/nodejs(\d+)/)?.[1] ?? process.versions.node.split('.')[0]);
const isNew = major >= 24;
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
    Object.defineProperty(this, 'name', { value: kind, enumerable: isNew });
  }
}

globalThis.awslambda = {
  streamifyResponse: (handler, options) => {
    handler[STREAMING] = 'response';
    if (typeof options?.highWaterMark === 'number') handler[HIGH_WATER_MARK] = parseInt(options.highWaterMark);
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

// What libraries ask about the event that is being answered, as @aws/lambda-invoke-store.
const KEYS = Object.fromEntries(['REQUEST_ID', 'X_RAY_TRACE_ID', 'TENANT_ID'].map((name) => [name, Symbol.for(`_AWS_LAMBDA_${name}`)]));
let invocation;
if (isNew) {
  const get = (key) => invocation?.[key];
  const isProtectedKey = (key) => Object.values(KEYS).includes(key);
  globalThis.awslambda.InvokeStore = {
    get,
    isProtectedKey,
    set: (key, value) => {
      if (isProtectedKey(key)) throw new Error(`Cannot modify protected Lambda context field: ${String(key)}`);
      invocation = Object.assign(invocation ?? {}, { [key]: value });
    },
    run: (context, call) => {
      invocation = context;
      return call();
    },
    getContext: () => invocation,
    hasContext: () => invocation !== undefined,
    getRequestId: () => get(KEYS.REQUEST_ID) ?? '-',
    getXRayTraceId: () => get(KEYS.X_RAY_TRACE_ID),
    getTenantId: () => get(KEYS.TENANT_ID),
  };
}

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

/** What is told of what was thrown. */
function document(error) {
  const isText = (value) => typeof value === 'string' && value !== '';
  const looksSo = error && isText(error.name) && isText(error.message) && isText(error.stack);
  try {
    if (error instanceof Error || (!isNew && (util.types.isNativeError(error) || looksSo))) {
      return { errorType: error.name, errorMessage: error.message, trace: error.stack?.split('\n') ?? [] };
    }
    return { errorType: typeof error, errorMessage: isNew ? String(error) : error.toString(), trace: [] };
  } catch {
    const errorMessage = 'callback called with Error argument, but there was a problem while retrieving one or more of its message, name, and stack';
    return { errorType: 'handled', errorMessage, ...(isNew && { trace: [] }) };
  }
}

/** Logs an error, with all that was set on it. */
function log(message, thrown) {
  const error = thrown instanceof Error ? thrown : new Error(isNew ? String(thrown) : thrown);
  const whole = (_, value) => {
    if (!(value instanceof Error)) return value;
    const out = { errorType: value.name, errorMessage: value.message, code: value.code, ...value };
    return typeof value.stack === 'string' ? { ...out, stack: value.stack.split('\n') } : out;
  };
  let text;
  try {
    text = JSON.stringify(error, whole);
  } catch {
    text = JSON.stringify(document(error));
  }
  console.error(message, '\t' + text);
}

function fail(target, error) {
  const told = document(error);
  const headers = { 'Content-Type': 'application/json', 'Lambda-Runtime-Function-Error-Type': String(told.errorType).replace(/[^\x20-\x7e]/g, '?') };
  return request('POST', target, headers, JSON.stringify(told));
}

const require = createRequire(path.join(env.LAMBDA_RUNTIME_DIR, 'index.mjs'));
const load = (file) => import(pathToFileURL(file).href);

/** Whether the `package.json` that is nearest to a file makes it a module. */
function isModule(file) {
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const manifest = path.join(folder, 'package.json');
    if (folder.endsWith('/node_modules')) return false;
    if (fs.existsSync(manifest)) {
      try {
        return JSON.parse(fs.readFileSync(manifest)).type === 'module';
      } catch (error) {
        console.warn(`${manifest} cannot be read, it will be ignored for ES module detection purposes.`, error);
        return false;
      }
    }
    if (folder === path.dirname(folder)) return false;
  }
}

async function loadFrom(place, name) {
  const file = path.resolve(root, place, name);
  const is = (ending) => fs.existsSync(file + ending);
  if (isNew) {
    for (const ending of ['', '.js', '.mjs', '.cjs']) if (is(ending)) return load(file + ending);
  } else {
    if (is('')) return require(file);
    if (is('.js')) return isModule(file + '.js') ? load(file + '.js') : require(file + '.js');
    if (is('.mjs')) return load(file + '.mjs');
    if (is('.cjs')) return require(file + '.cjs');
  }
  // A layer may bring it.
  return require(require.resolve(name, { paths: [root, path.resolve(root, place)] }));
}

async function find(handler) {
  if (handler.includes('..')) throw new Fault('Runtime.MalformedHandlerName', `'${handler}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  const base = path.basename(handler);
  const match = base.match(/^([^.]*)\.(.*)$/);
  if (!match) throw new Fault('Runtime.MalformedHandlerName', 'Bad handler');
  const [, file, name] = match;
  let module;
  try {
    module = await loadFrom(handler.slice(0, handler.indexOf(base)), file);
  } catch (error) {
    if (error instanceof SyntaxError) {
      const fault = new Fault('Runtime.UserCodeSyntaxError', String(error));
      throw isNew ? Object.assign(fault, { stack: error.stack }) : fault;
    }
    // What a module imports is told by another code, and as it is.
    if (error?.code === 'MODULE_NOT_FOUND') throw new Fault('Runtime.ImportModuleError', String(error));
    throw error;
  }
  const pick = (from) => name.split('.').reduce((value, key) => (value && (!isNew || typeof value === 'object') ? value[key] : undefined), from);
  let found = pick(module);
  if (!found && isNew && module && 'default' in module) found = pick(module.default);
  if (!found) throw new Fault('Runtime.HandlerNotFound', `${handler} is undefined or not exported`);
  if (typeof found !== 'function') throw new Fault('Runtime.HandlerNotFound', `${handler} is not a function`);
  if (found[STREAMING] && found[STREAMING] !== 'response') throw new Fault('Runtime.MalformedStreamingHandler', 'Only response streaming is supported.');
  if (isNew && !found[STREAMING] && found.length >= 3) {
    throw new Fault(
      'Runtime.CallbackHandlerDeprecated',
      'ERROR: AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. You need to modify this function to use a supported handler signature to use Node.js 24 or later. For more information see https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.',
    );
  }
  return found;
}

let current = '';
for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal']) {
  console[level] = (...words) => {
    const line = [new Date().toISOString(), current || (isNew ? '-' : 'undefined'), level.toUpperCase(), util.format(...words)];
    process.stdout.write(line.join('\t') + '\n');
  };
}
console.log = console.info;

function context(headers) {
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  const parse = (text) => (text ? JSON.parse(text) : undefined);
  const trace = headers['lambda-runtime-trace-id'];
  if (trace) env._X_AMZN_TRACE_ID = trace;
  else delete env._X_AMZN_TRACE_ID;
  return {
    ...(!isNew && { callbackWaitsForEmptyEventLoop: true }),
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
    ...(isNew && { xRayTraceId: trace }),
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

/** Nothing is left to do: what is called then is the answer, if there can still be one. */
let emptied = null;
// From Node.js 24 on the process ends, and Lambda says that it has given no reason.
process.on('beforeExit', () => (isNew ? process.exit(0) : emptied?.()));

/** Calls a handler of before Node.js 24, which answers in one of four ways. */
function call(handler, event, ctx) {
  return new Promise((resolve, reject) => {
    emptied = () => resolve(null);
    const done = (error, value) => (error === undefined || error === null ? resolve(value) : reject(error));
    const fail = (error) => reject(error ?? 'handled');
    const callback = (error, value) => {
      if (error !== undefined && error !== null) return reject(error);
      // What is left to do is waited for, unless the function says otherwise.
      if (ctx.callbackWaitsForEmptyEventLoop) emptied = () => resolve(value);
      else resolve(value);
    };
    Object.assign(ctx, { done, succeed: (value) => resolve(value), fail });
    let result;
    try {
      result = handler(event, ctx, callback);
    } catch (error) {
      return callback(error);
    }
    if (typeof result?.then === 'function') result.then(ctx.succeed, ctx.fail);
  });
}

const METHODS = ['cork', 'uncork', 'write', 'end', 'destroy', 'setContentType', 'addListener', 'on', 'once', 'off', 'emit', 'prependListener', 'prependOnceListener', 'removeListener', 'removeAllListeners', 'listeners', 'rawListeners', 'listenerCount', 'eventNames', 'setMaxListeners', 'getMaxListeners'];
const STATES = ['destroyed', '_onBeforeFirstWrite', 'writable', 'writableFinished', 'writableEnded', 'writableNeedDrain', 'writableLength', 'writableCorked', 'writableHighWaterMark', 'writableObjectMode'];

/** The stream that a handler writes its answer to, what is called when it fails, and when the answer has arrived. */
function stream(id, highWaterMark) {
  let hasBegun = false, call;
  const arrived = new Promise((resolve, reject) => {
    call = http.request({
      host, port, method: 'POST', path: `${api}/invocation/${id}/response`,
      createConnection: (options) => net.createConnection({ ...options, highWaterMark }),
      headers: {
        'Content-Type': 'application/octet-stream',
        'Lambda-Runtime-Function-Response-Mode': 'streaming',
        'Transfer-Encoding': 'chunked',
        Trailer: ['Lambda-Runtime-Function-Error-Type', 'Lambda-Runtime-Function-Error-Body'],
      },
    }, (answer) => answer.resume().on('end', resolve).on('aborted', reject));
    call.on('error', reject);
  });
  // A handler that fails is not waited for twice.
  arrived.catch(() => {});
  call.setContentType = (type) => {
    if (hasBegun) throw new Fault('Runtime.InvalidStreamingOperation', 'Cannot set content-type, too late.');
    call.setHeader('Content-Type', type);
  };
  const write = call.write.bind(call);
  call.write = (chunk, ...rest) => {
    // What is no text is written as JSON.
    const data = typeof chunk === 'string' || chunk instanceof Uint8Array ? chunk : JSON.stringify(chunk);
    if (!hasBegun) call._onBeforeFirstWrite?.((part) => write(part));
    const isTaken = write(data, ...rest);
    hasBegun = true;
    return isTaken;
  };
  const out = Object.fromEntries(METHODS.map((name) => [name, call[name].bind(call)]));
  for (const name of STATES) {
    Object.defineProperty(out, name, { get: () => call[name], set: (value) => (call[name] = value) });
  }
  const fail = (error) => {
    const told = document(error);
    call.addTrailers({
      'Lambda-Runtime-Function-Error-Type': told.errorType,
      'Lambda-Runtime-Function-Error-Body': Buffer.from(JSON.stringify(told)).toString('base64'),
    });
    call.end();
  };
  return { out, fail, arrived };
}

async function answerStream(handler, event, ctx) {
  const { out, fail, arrived } = stream(ctx.awsRequestId, handler[HIGH_WATER_MARK]);
  const refuse = (message) => {
    throw isNew ? new Error(message) : message;
  };
  try {
    const result = handler(event, out, ctx);
    if (typeof result?.then !== 'function') refuse('Streaming does not support non-async handlers.');
    if (typeof (await result) !== 'undefined') console.warn('Streaming handlers ignore return values.');
    // Who does not end the stream is waited for.
    await arrived;
    if (!out.writableFinished) refuse('Response stream is not finished.');
  } catch (error) {
    log('Invoke Error', error);
    fail(error);
    await arrived.catch(() => {});
  }
}

async function answer(handler, next) {
  const ctx = context(next.headers);
  current = ctx.awsRequestId;
  invocation = { [KEYS.REQUEST_ID]: current, [KEYS.X_RAY_TRACE_ID]: ctx.xRayTraceId };
  const event = JSON.parse(next.body);
  if (handler[STREAMING]) return answerStream(handler, event, ctx);
  try {
    const value = isNew ? await handler(event, ctx) : await call(handler, event, ctx);
    emptied = null;
    let text;
    try {
      text = JSON.stringify(value === undefined ? null : value);
    } catch {
      throw new Fault(isNew ? 'Runtime.JSONStringifyError' : 'Error', 'Unable to stringify response body');
    }
    await request('POST', `/invocation/${current}/response`, { 'Content-Type': 'application/json' }, text ?? 'null');
  } catch (error) {
    emptied = null;
    log('Invoke Error', error);
    await fail(`/invocation/${current}/error`, error);
  }
}

if (!isNew) {
  const crash = async (message, error, code) => {
    log(message, error);
    await fail(current ? `/invocation/${current}/error` : '/init/error', error).catch(() => {});
    process.exit(code);
  };
  process.on('uncaughtException', (error) => crash('Uncaught Exception', error, 129));
  process.on('unhandledRejection', (reason, promise) => {
    const error = Object.assign(new Fault('Runtime.UnhandledPromiseRejection', String(reason)), { reason, promise });
    crash('Unhandled Promise Rejection', error, 128);
  });
}

let handler;
try {
  handler = await find(env._HANDLER);
} catch (error) {
  log(isNew ? 'Init Error' : 'Uncaught Exception', error);
  await fail('/init/error', error);
  process.exit(isNew ? 1 : 129);
}
for (;;) {
  const next = await request('GET', '/invocation/next');
  if (next.status !== 200) process.exit(1);
  await answer(handler, next);
}
