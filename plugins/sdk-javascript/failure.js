// How an agent says that it could not do its work, and how the host says that it would not.

/** An attempt that failed, with its reason. Throw `Recoverable` or `Permanent`. */
export class Failure extends Error {
  constructor(kind, code, message, { retryAfter, data } = {}) {
    super(message);
    this.name = new.target.name;
    this.kind = kind;
    this.code = code;
    this.retryAfter = retryAfter;
    this.data = data;
  }
}

export class Permanent extends Failure {
  constructor(code, message, { data } = {}) {
    super('permanent', code, message, { data });
  }
}

export class Recoverable extends Failure {
  constructor(code, message, options) {
    super('recoverable', code, message, options);
  }
}

/** The host did not do as asked. */
export class HostError extends Error {
  constructor(kind, code, message, { retryAfter } = {}) {
    super(message);
    this.name = 'HostError';
    this.kind = kind;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** The failure of an attempt that does not handle this. */
  failure() {
    const again = this.kind === 'unavailable' || this.kind === 'cancelled';
    if (again) return new Recoverable(this.code, this.message, { retryAfter: this.retryAfter });
    return new Permanent(this.code, this.message);
  }
}

/** There is no response to an HTTP request. */
export class HttpError extends Error {
  constructor(code, message, { isTransient = false } = {}) {
    super(message);
    this.name = 'HttpError';
    this.code = code;
    this.isTransient = isTransient;
  }

  /** The failure of an attempt that does not handle this. */
  failure() {
    return this.isTransient ? new Recoverable(this.code, this.message) : new Permanent(this.code, this.message);
  }
}
